package dataset

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// places lists the line and the column of each fault that an error joins.
func places(t *testing.T, err error) []string {
	t.Helper()
	var list interface{ Unwrap() []error }
	require.ErrorAs(t, err, &list)
	var all []string
	for _, one := range list.Unwrap() {
		var fault *Error
		require.ErrorAs(t, one, &fault)
		require.NotEmpty(t, fault.Remedy)
		all = append(all, fmt.Sprintf("%d:%s", fault.Line, fault.Column))
	}
	require.Len(t, strings.Split(err.Error(), "\n"), len(all), "a line for each")
	return all
}

func TestAllFaultsAtOnce(t *testing.T) {
	messages := golden.New(t)
	path := write(t, "a,b,kind\n1,2,x\n1,2\ntall,2,x\n1,1e400,y\n1,2,\n3,4,y\n")
	_, err := Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	require.Equal(t, []string{"3:", "4:a", "5:b", "6:kind"}, places(t, err))
	messages.Add("in many lines", named(err, path))
	_, err = Read(t.Context(), path, Options{Label: "kind"})
	requirePlace(t, err, path, 3, "")
	assert.NotContains(t, err.Error(), "\n", "the first one, otherwise")

	path = write(t, "a,b,kind\n1,2,x\ntall,wide,\n3,4,y\n")
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	require.Equal(t, []string{"3:a", "3:b", "3:kind"}, places(t, err))
	messages.Add("in one line", named(err, path))

	path = write(t, "a,,b,a,b,\n1,2,3,4,5,6\ntall\n")
	_, err = Read(t.Context(), path, Options{Label: "kind", Drop: []string{"c"}, AllFaults: true})
	require.Equal(t, []string{"1:", "1:", "1:", "1:", "1:", "1:"}, places(t, err))
	messages.Add("in the header", named(err, path))

	path = write(t, "a,kind\n"+strings.Repeat("tall,x\n", 1000))
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	all := places(t, err)
	require.Len(t, all, maxFaults+1)
	require.Equal(t, []string{"101:a", "0:"}, all[maxFaults-1:])
	lines := strings.Split(err.Error(), "\n")
	messages.Add("too many to list", named(errors.New(lines[maxFaults]), path))

	path = write(t, "a,kind\ntall,x\n\"1\n")
	_, err = Read(t.Context(), path, Options{Label: "kind", AllFaults: true})
	require.Equal(t, []string{"2:a", "3:"}, places(t, err), "what follows broken quotes is unknown: %v", err)
	messages.Add("broken quotes", named(err, path))
}

func TestFaultFarDown(t *testing.T) {
	path := write(t, "a,b,y\n"+strings.Repeat("1.5,2,x\n1.25,3,z\n", 450_000)+"4,tall,x\n"+strings.Repeat("1,2,x\n", 10))
	_, err := Read(t.Context(), path, Options{Label: "y"})
	requirePlace(t, err, path, 900_002, "b")
	golden.New(t).Add("text in a number", named(err, path))
}

// A quoted field that nobody closes must not take the rest of a large file into
// memory before it is reported.
func TestOpenQuoteEnds(t *testing.T) {
	path := write(t, "a,y\n1,x\n2,\"z\n"+strings.Repeat("1,x\n", 5<<20))
	_, err := Read(t.Context(), path, Options{Label: "y"})
	requirePlace(t, err, path, 3, "")
	golden.New(t).Add("open quote", named(err, path))
}

// What does not fit into memory is refused after the first block, by the limit
// of the process, not by the machine that the test happens to run on.
func TestTooLargeForMemory(t *testing.T) {
	path := write(t, "a,b,c,d,y\n"+strings.Repeat("1,2,3,4,x\n1,2,3,4,z\n", 1<<20))
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(limit) })
	debug.SetMemoryLimit(64 << 20)
	_, err := Read(t.Context(), path, Options{Label: "y"})
	requirePlace(t, err, path, 0, "")
	// No golden line: how much memory is free is not the same twice.
	require.Regexp(t, `: holds about 2\d{6} rows of 4 features, which need 0\.\d GB of memory; 0\.\d GB are free; train on a sample of its rows, leave columns out, or give the process more memory$`, err.Error())
	debug.SetMemoryLimit(1 << 30)
	d, err := Read(t.Context(), path, Options{Label: "y"})
	require.NoError(t, err, fmt.Sprint(freeMemory()))
	require.Equal(t, 2<<20, d.Rows())
	_, err = Read(t.Context(), path, Options{Label: "y", Copies: 20})
	requirePlace(t, err, path, 0, "")
}
