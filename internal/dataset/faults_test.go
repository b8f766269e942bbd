package dataset

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAllFaultsAtOnce(t *testing.T) {
	path := write(t, "a,b,kind\n1,2,x\n1,2\ntall,2,x\n1,1e400,y\n1,2,\n3,4,y\n")
	_, err := Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	require.Error(t, err)
	lines := strings.Split(strings.ReplaceAll(err.Error(), path, "F"), "\n")
	require.Len(t, lines, 4)
	for i, want := range []string{
		"F, line 3: there are 2 fields, the header has 3",
		`F, line 4, column a: "tall" is not a number`,
		`F, line 5, column b: "1e400" is infinite`,
		"F, line 6, column kind: the label is missing",
	} {
		assert.Contains(t, lines[i], want)
	}
	_, err = Read(t.Context(), path, Options{Label: "kind"})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "\n", "the first one, otherwise")

	path = write(t, "a,kind\n"+strings.Repeat("tall,x\n", 1000))
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	lines = strings.Split(err.Error(), "\n")
	require.Len(t, lines, maxFaults+1)
	assert.Contains(t, lines[maxFaults], "has more than 100 faults; mend these first")

	path = write(t, "a,kind\ntall,x\n\"1\n")
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	assert.Len(t, strings.Split(err.Error(), "\n"), 2, "what follows broken quotes is unknown: %v", err)
}
