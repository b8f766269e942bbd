package process

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/settings"
)

// What an MLflow server asks for may stand in .env as all other settings do.
func TestOpenRegistryWithCredentials(t *testing.T) {
	var user, password string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ = r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	dir := t.TempDir()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), certificate, 0o600))
	dotEnv := "MLFLOW_TRACKING_URI=" + server.URL + "\nMLFLOW_TRACKING_USERNAME=u\nMLFLOW_TRACKING_PASSWORD=secret\n"

	ask := func(more string) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte(dotEnv+more), 0o600))
		cfg, err := settings.Load[settings.Trainer](dir, nil)
		require.NoError(t, err)
		r, err := OpenRegistry(cfg.Registry, dir, Patience{RetryFor: -1, Timeout: 5 * time.Second}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		_, err = r.Resolve(t.Context(), "iris", "champion")
		return err
	}
	require.ErrorIs(t, ask(""), registry.ErrUnavailable, "the certificate comes from nobody that the system knows")
	require.Empty(t, user)
	require.ErrorIs(t, ask("MLFLOW_TRACKING_SERVER_CERT_PATH="+filepath.Join(dir, "ca.pem")), registry.ErrInvalid)
	assert.Equal(t, "u", user)
	assert.Equal(t, "secret", password)
}

func TestOpenRegistryInDir(t *testing.T) {
	dir := t.TempDir()
	cfg := settings.Registry{MLflow: settings.MLflow{ArtifactLocation: "./mlruns"}}
	r, err := OpenRegistry(cfg, dir, Patience{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "mlruns"), r.(*directory.Store).Root())
	cfg.MLflow.ArtifactLocation = "file:///srv/mlruns"
	r, err = OpenRegistry(cfg, dir, Patience{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Equal(t, "/srv/mlruns", r.(*directory.Store).Root())
}
