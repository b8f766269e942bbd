package process

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writePair writes a certificate with a serial number, and its key, into a folder.
func writePair(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write := func(name, kind string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
	}
	require.NoError(t, os.MkdirAll(dir, 0o700))
	write("tls.crt", "CERTIFICATE", certificate)
	write("tls.key", "PRIVATE KEY", private)
}

// A changed pair is taken by the next handshake, as it is changed by hand and as
// Kubernetes changes it; one that does not fit is not.
func TestCertificateIsFollowed(t *testing.T) {
	root := t.TempDir()
	path := func(name string) string { return filepath.Join(root, name) }
	var log bytes.Buffer
	certificate := func(c *Certificate) int64 {
		pair, err := c.Get(nil)
		require.NoError(t, err)
		return pair.Leaf.SerialNumber.Int64()
	}
	swap := func(folder string) {
		require.NoError(t, os.Symlink(folder, path("..tmp")))
		require.NoError(t, os.Rename(path("..tmp"), path("..data")))
	}
	// Times that differ, on a file system that counts seconds.
	for i, folder := range []string{"one", "two"} {
		writePair(t, path(folder), int64(i+1))
		for _, name := range []string{"tls.crt", "tls.key"} {
			at := time.Now().Add(time.Duration(i-9) * time.Minute)
			require.NoError(t, os.Chtimes(path(folder+"/"+name), at, at))
		}
	}
	swap("one")
	for _, name := range []string{"tls.crt", "tls.key"} {
		require.NoError(t, os.Symlink("..data/"+name, path(name)))
	}
	c, err := OpenCertificate(path("tls.crt"), path("tls.key"), slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	assert.EqualValues(t, 1, certificate(c))
	swap("two")
	assert.EqualValues(t, 2, certificate(c))

	// Half of another pair.
	writePair(t, path("three"), 3)
	require.NoError(t, os.Rename(path("three/tls.crt"), path("two/tls.crt")))
	assert.EqualValues(t, 2, certificate(c))
	assert.EqualValues(t, 2, certificate(c))
	assert.Equal(t, 1, bytes.Count(log.Bytes(), []byte("level=ERROR")), "it is told once: %s", log.String())
	require.NoError(t, os.Rename(path("three/tls.key"), path("two/tls.key")))
	assert.EqualValues(t, 3, certificate(c))
	require.NoError(t, os.Remove(path("two/tls.key")))
	assert.EqualValues(t, 3, certificate(c), "files that are gone change nothing")

	_, err = OpenCertificate(path("tls.crt"), path("none"), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, os.ErrNotExist)
}
