package credential

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommonWordsAreSorted(t *testing.T) {
	require.True(t, slices.IsSorted(commonWords))
	require.Len(t, slices.Compact(slices.Clone(commonWords)), len(commonWords))
}
