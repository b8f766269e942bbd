package promotion

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Picking rows takes one look at each row a model, however many rows there are.
func TestUnseenLooksAtEachRowOnce(t *testing.T) {
	const rows = 100_000
	looks := 0
	seenBy := func(seen func(row int) bool) func(int) bool {
		return func(row int) bool { looks++; return seen(row) }
	}
	even := seenBy(func(row int) bool { return row%2 == 0 })
	upTo := seenBy(func(row int) bool { return row < rows/2 })
	picked := unseen(rows, even, upTo)
	require.Len(t, picked, rows/4)
	assert.Equal(t, rows/2+1, picked[0])
	assert.LessOrEqual(t, looks, 2*rows)
}
