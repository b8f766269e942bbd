package training

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The two classes differ only beyond what float32 can tell apart, and float32
// is what the API's model gets.
func TestTrainJudgesAsItWillBeServed(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("a,species\n")
	for i := range 200 {
		fmt.Fprintf(&rows, "%.6f,%d\n", 1e9+float64(i%2)*1e-3, i%2)
	}
	b := newBench(t)

	out, err := b.trainer.Train(t.Context(), b.request(t, "p.csv", rows.String()))

	require.NoError(t, err)
	require.LessOrEqual(t, out.Accuracy, 0.6)
	require.Equal(t, Refused, out.Outcome)
}
