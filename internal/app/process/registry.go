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

// OpenRegistry opens the registry of the settings, for a program that only reads
// it. A relative folder is relative to dir.
func OpenRegistry(cfg settings.Registry, dir string, patience Patience, log *slog.Logger) (registry.Reader, error) {
	return open.Open(registryConfig(cfg, dir, patience, log))
}

// OpenRegistryToWrite opens it for a program that writes to it, whose locks for a
// server stand in lockDir.
func OpenRegistryToWrite(cfg settings.Registry, dir, lockDir string, log *slog.Logger) (registry.Registry, error) {
	c := registryConfig(cfg, dir, Patience{}, log)
	c.LockDir = lockDir
	return open.Open(c)
}

func registryConfig(cfg settings.Registry, dir string, patience Patience, log *slog.Logger) open.Config {
	return open.Config{
		TrackingURI: string(cfg.TrackingURI), ArtifactLocation: cfg.MLflow.ArtifactLocation, Dir: dir,
		ExperimentName: cfg.MLflow.ExperimentName,
		Credentials: mlflow.Credentials{
			Username: cfg.TrackingUsername, Password: cfg.TrackingPassword.Reveal(), Token: cfg.TrackingToken.Reveal(),
		},
		CertFile: cfg.TrackingCertFile,
		RetryFor: patience.RetryFor, Timeout: patience.Timeout, Logger: log,
	}
}
