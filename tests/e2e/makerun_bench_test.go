//go:build bench

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

// The first prediction of `make run` in a fresh clone with Go's modules downloaded
// and nothing built.
func TestMakeRunWithNothingBuilt(t *testing.T) {
	clone, address := cloneCheckout(t), testenv.FreeAddress(t)
	env := testenv.Environ("API_ADDRESS="+address, "GOCACHE="+t.TempDir(), "GOFLAGS=-buildvcs=false")
	started := time.Now()
	process := testenv.Start(t, testenv.Command{Path: "make", Args: []string{"run"}, Env: env, Dir: clone})
	process.WaitReady("http://"+address+"/ready", 10*time.Minute)
	api := installation.Attach(t, "http://"+address, process)
	api.Login(readFile(t, clone, "var/initial_password"))
	requireSamples(t, api, "1")
	took := time.Since(started)
	t.Logf("make run, nothing built: the first prediction after %s", took.Round(time.Second))
	require.Less(t, took, 150*time.Second)
}
