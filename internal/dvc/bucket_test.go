package dvc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// The real DVC pushes, Petal pulls, from a real S3 server.
func TestPullFromABucket(t *testing.T) {
	server := testenv.StartS3(t)
	dir := t.TempDir()
	target := filepath.Join(dir, "iris.csv")
	content := []byte("sepal_length,species\n5.1,setosa\n")
	require.NoError(t, os.WriteFile(target, content, 0o600))
	for _, args := range [][]string{
		{"init", "--no-scm"},
		{"remote", "add", "--default", "bucket", "s3://data/some/path"},
		{"remote", "modify", "bucket", "endpointurl", server.Endpoint},
		{"add", "iris.csv"},
		{"push"},
	} {
		result := testenv.Run(t, testenv.Command{
			Path: testenv.Tool(t, "dvc"), Args: args, Dir: dir,
			Env: testenv.Environ(server.Env()...),
		}, 2*time.Minute)
		require.Zero(t, result.Code, result.Output)
	}
	pull := func(secret string) (Pulled, error) {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, ".dvc", "cache")))
		require.NoError(t, os.RemoveAll(target))
		environment := map[string]string{
			"AWS_ACCESS_KEY_ID": testenv.S3AccessKey, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1",
		}
		repo, err := Open(dir, Options{Getenv: func(name string) string { return environment[name] }})
		require.NoError(t, err)
		return repo.Pull(t.Context(), target+".dvc")
	}

	pulled, err := pull(testenv.S3SecretKey)
	require.NoError(t, err)
	require.Equal(t, "remote", pulled.From)
	got, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, content, got)

	_, err = pull("another-secret")
	require.ErrorContains(t, err, "s3://data/some/path")
	require.NotContains(t, err.Error(), "another-secret")
	require.NotContains(t, err.Error(), "\n")
	require.NoFileExists(t, target)

	object := filepath.Join(server.Bucket, "some", "path", "files", "md5", pulled.MD5[:2], pulled.MD5[2:])
	require.NoError(t, os.WriteFile(object, []byte(strings.ToUpper(string(content))), 0o600))
	_, err = pull(testenv.S3SecretKey)
	require.ErrorIs(t, err, ErrCorrupt)
	require.NoFileExists(t, target)

	require.NoError(t, os.Remove(object))
	_, err = pull(testenv.S3SecretKey)
	require.ErrorIs(t, err, ErrMissing)
}

func TestBucketConfiguration(t *testing.T) {
	messages := golden.New(t)
	for name, keys := range map[string]string{
		"no bucket":      "url = s3://",
		"no address":     "url = s3://data\nendpointurl = localhost",
		"neither yes no": "url = s3://data\nuse_ssl = maybe",
	} {
		messages.Add(name, requireBadRemote(t, keys))
	}
}
