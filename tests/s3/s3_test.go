// Package s3 runs Petal with its data in a bucket, on a real S3 server.
package s3

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

// The real DVC pushes the data into a bucket, and the trainer pulls them from there.
func TestDataInABucket(t *testing.T) {
	t.Parallel()
	s3 := testenv.StartS3(t)
	petal := installation.New(t, s3.Env()...)
	petal.Write(".dvc/config.local", "[core]\n    no_scm = true\n") // no Git here
	for _, args := range [][]string{
		{"pull"},
		{"remote", "add", "bucket", "s3://data/dvc"},
		{"push", "--remote", "bucket"},
		{"remote", "default", "bucket"},
	} {
		result := testenv.Run(t, testenv.Command{
			Path: testenv.Tool(t, "dvc"), Args: args, Dir: petal.Dir, Env: testenv.Environ(s3.Env()...),
		}, 2*time.Minute)
		require.Zero(t, result.Code, result.Output)
	}
	require.NoError(t, os.RemoveAll(filepath.Join(petal.Dir, ".dvc", "cache")))
	require.NoError(t, os.Remove(filepath.Join(petal.Dir, "data", "iris.csv")))
	require.NoError(t, os.RemoveAll(filepath.Join(petal.Dir, "data", "remote")))

	petal.Train()
	require.FileExists(t, filepath.Join(petal.Dir, "data", "iris.csv"))

	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	require.Equal(t, "setosa", api.Predict(5.1, 3.5, 1.4, 0.2).Label)
}

// MLflow keeps its artifacts in a bucket, and hands them on: neither the trainer
// nor the API has keys to it.
func TestArtifactsInABucket(t *testing.T) {
	t.Parallel()
	s3 := testenv.StartS3(t)
	// Of an option that is given twice the server takes the last.
	server := testenv.StartMLflow(t, testenv.MLflowOptions{
		Args: []string{"--artifacts-destination", "s3://data/mlflow"},
		Env:  append(s3.Env(), "MLFLOW_S3_ENDPOINT_URL="+s3.Endpoint),
	})
	petal := installation.New(t, "MLFLOW_TRACKING_URI="+server.URL)

	petal.Train()
	models, err := filepath.Glob(filepath.Join(s3.Bucket, "mlflow", "*", "models", "m-*", "artifacts", "model.onnx"))
	require.NoError(t, err)
	require.Len(t, models, 1, "the model is in the bucket")

	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	require.Equal(t, "setosa", api.Predict(5.1, 3.5, 1.4, 0.2).Label)
}
