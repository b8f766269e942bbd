package rows

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Most of a body is numbers: their text is not copied.
func TestNumbersAreReadWithoutAllocation(t *testing.T) {
	text := []byte("-12.75e1")
	d := NewDecoder(text)
	place := func() string { return "here" }
	allocations := testing.AllocsPerRun(100, func() {
		d.pos = 0
		v, err := d.Number(place)
		if v != -127.5 || err != nil {
			t.Errorf("%v, %v", v, err)
		}
	})
	assert.Zero(t, allocations)

	d = NewDecoder([]byte("1e999"))
	_, err := d.Number(place)
	var fault *JSONError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, OutOfRange, fault.Reason)
	assert.Equal(t, "here", fault.Place)
}
