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
	picked, err := unseen(rows, even, upTo)
	require.NoError(t, err)
	require.Len(t, picked, rows/4)
	assert.Equal(t, rows/2+1, picked[0])
	assert.LessOrEqual(t, looks, 2*rows)
}

func TestUnseenWantsEnoughRows(t *testing.T) {
	upTo := func(n int) func(int) bool { return func(row int) bool { return row < n } }
	picked, err := unseen(40, upTo(20))
	require.NoError(t, err)
	require.Len(t, picked, minRows)
	_, err = unseen(40, upTo(20), upTo(21))
	few := new(TooFewRowsError)
	require.ErrorAs(t, err, &few)
	assert.Equal(t, minRows-1, few.Rows)
	require.ErrorIs(t, err, ErrIncomparable)
}
