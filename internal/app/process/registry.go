package process

import (
	"log/slog"
	"time"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/open"
	"github.com/petal-ml/petal/internal/settings"
)

// Patience is how long a registry's server is waited for; see [mlflow.Options].
type Patience struct{ RetryFor, Timeout time.Duration }

// OpenRegistry opens the registry of the settings. A relative folder is relative
// to dir.
func OpenRegistry(cfg settings.Registry, dir string, patience Patience, log *slog.Logger) (registry.Registry, error) {
	return open.Open(open.Config{
		TrackingURI: string(cfg.TrackingURI), ArtifactLocation: cfg.MLflow.ArtifactLocation, Dir: dir,
		ExperimentName: cfg.MLflow.ExperimentName,
		Credentials: mlflow.Credentials{
			Username: cfg.TrackingUsername, Password: cfg.TrackingPassword.Reveal(), Token: cfg.TrackingToken.Reveal(),
		},
		CertFile: cfg.TrackingCertFile,
		RetryFor: patience.RetryFor, Timeout: patience.Timeout, Logger: log,
	})
}
