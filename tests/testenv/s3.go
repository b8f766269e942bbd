package testenv

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// S3AccessKey and S3SecretKey are the account of the servers of [StartS3].
const (
	S3AccessKey = "petal-access-key"
	S3SecretKey = "a-secret-of-the-tests"
)

// An S3Server is a real S3 server on a port of 127.0.0.1 that ends with the test.
// It keeps its one bucket, "data", as a folder.
type S3Server struct {
	Endpoint string
	Bucket   string // the folder
}

// StartS3 starts a server.
func StartS3(t testing.TB) S3Server {
	t.Helper()
	root, address := t.TempDir(), FreeAddress(t)
	bucket := filepath.Join(root, "data")
	if err := os.Mkdir(bucket, 0o700); err != nil {
		t.Fatalf("make the bucket: %v", err)
	}
	server := Start(t, Command{
		Path: GoTool(t, "versitygw"),
		Args: []string{"--port", address, "--access", S3AccessKey, "--secret", S3SecretKey, "--health", "/health", "posix", root},
	})
	server.WaitReady("http://"+address+"/health", time.Minute)
	return S3Server{Endpoint: "http://" + address, Bucket: bucket}
}

// Env is the environment in which programs find the server.
func (s S3Server) Env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + S3AccessKey, "AWS_SECRET_ACCESS_KEY=" + S3SecretKey,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_ENDPOINT_URL=" + s.Endpoint,
	}
}
