package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// Docker builds the first stage once for all images as long as it is the same.
func TestDockerfilesShareTheirFirstStage(t *testing.T) {
	root := testenv.Root(t)
	stage := func(name string) string {
		_, rest, found := strings.Cut(string(readFile(t, filepath.Join(root, name))), "\nARG GOLANG_IMAGE=")
		require.True(t, found, name)
		first, _, found := strings.Cut(rest, "&& mkdir /out/state\n")
		require.True(t, found, name)
		return first
	}
	api := stage("Dockerfile.api")
	require.Equal(t, api, stage("Dockerfile.trainer"))
	require.Equal(t, api, stage(filepath.Join("deploy", "Dockerfile.tests")))
}

// Compose 1 cannot read the Compose file; `make up` says so instead of failing
// somewhere in it.
func TestComposeV1IsRefused(t *testing.T) {
	bin := t.TempDir()
	for name, script := range map[string]string{
		"docker":         "#!/bin/sh\necho \"docker: 'compose' is not a docker command.\" >&2\nexit 1\n",
		"docker-compose": "#!/bin/sh\necho 1.29.2\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700))
	}
	result := testenv.Run(t, testenv.Command{
		Path: filepath.Join(testenv.Root(t), "deploy", "up"),
		Env:  []string{"PATH=" + bin + ":/usr/bin:/bin"},
	}, time.Minute)
	require.Equal(t, 1, result.Code)
	require.Contains(t, result.Output, "needs Docker Compose v2")
	require.Equal(t, 1, strings.Count(result.Output, "\n"), result.Output)
}
