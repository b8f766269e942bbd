package dataset

import (
	"fmt"
	"runtime/debug"
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

	path = write(t, "a,b,kind\n1,2,x\ntall,wide,\n3,4,y\n")
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	require.ErrorContains(t, err, `line 3, column a: "tall" is not a number; `)
	require.ErrorContains(t, err, `line 3, column b: "wide" is not a number; `)
	require.ErrorContains(t, err, "line 3, column kind: the label is missing; ")

	path = write(t, "a,,b,a,b,\n1,2,3,4,5,6\ntall\n")
	_, err = Read(t.Context(), path, Options{Label: "kind", Drop: []string{"c"}, AllFaults: true})
	require.EqualError(t, err, strings.ReplaceAll(`F, line 1: column 2 has no name; give every column a name in the header
F, line 1: columns 1 and 4 are both named "a"; give every column a name of its own
F, line 1: columns 3 and 5 are both named "b"; give every column a name of its own
F, line 1: column 6 has no name; give every column a name in the header
F, line 1: there is no label column "kind"; choose it by --label or by "label" in params.yaml from a, "", b, a, b, ""
F, line 1: there is no column "c" to drop; take it out of "drop" in params.yaml, or choose from a, "", b, a, b, ""`, "F", path))

	path = write(t, "a,kind\n"+strings.Repeat("tall,x\n", 1000))
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	lines = strings.Split(err.Error(), "\n")
	require.Len(t, lines, maxFaults+1)
	assert.Contains(t, lines[maxFaults], "has more than 100 faults; mend these first")

	path = write(t, "a,kind\ntall,x\n\"1\n")
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	assert.Len(t, strings.Split(err.Error(), "\n"), 2, "what follows broken quotes is unknown: %v", err)
}

func TestFaultFarDown(t *testing.T) {
	path := write(t, "a,b,y\n"+strings.Repeat("1.5,2,x\n1.25,3,z\n", 450_000)+"4,tall,x\n"+strings.Repeat("1,2,x\n", 10))
	_, err := Read(t.Context(), path, Options{Label: "y"})
	require.EqualError(t, err, path+`, line 900002, column b: "tall" is not a number; write a number such as 5.1, or name the column under "drop" in params.yaml`)
}

// A quoted field that nobody closes must not take the rest of a large file into
// memory before it is reported.
func TestOpenQuoteEnds(t *testing.T) {
	path := write(t, "a,y\n1,x\n2,\"z\n"+strings.Repeat("1,x\n", 5<<20))
	_, err := Read(t.Context(), path, Options{Label: "y"})
	require.EqualError(t, err, path+`, line 3: a quoted field does not end properly; double a quote inside a quoted field: "so ""said"" she"`)
}

// What does not fit into memory is refused after the first block, by the limit
// of the process, not by the machine that the test happens to run on.
func TestTooLargeForMemory(t *testing.T) {
	path := write(t, "a,b,c,d,y\n"+strings.Repeat("1,2,3,4,x\n1,2,3,4,z\n", 1<<20))
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(limit) })
	debug.SetMemoryLimit(64 << 20)
	_, err := Read(t.Context(), path, Options{Label: "y"})
	var fault *Error
	require.ErrorAs(t, err, &fault)
	require.Regexp(t, `: holds about 2\d{6} rows of 4 features, which need 0\.\d GB of memory; 0\.\d GB are free; train on a sample of its rows, leave columns out, or give the process more memory$`, err.Error())
	debug.SetMemoryLimit(1 << 30)
	d, err := Read(t.Context(), path, Options{Label: "y"})
	require.NoError(t, err, fmt.Sprint(freeMemory()))
	require.Equal(t, 2<<20, d.Rows())
	_, err = Read(t.Context(), path, Options{Label: "y", Copies: 20})
	require.ErrorAs(t, err, &fault)
}
