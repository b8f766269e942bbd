// Package backend chooses the registry: an MLflow server where a tracking URI
// is set, a directory where it is not.
package backend

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/registry/mlflowregistry"
)

// Config says which registry to open.
type Config struct {
	// TrackingURI is MLFLOW_TRACKING_URI: http(s)://… or empty.
	TrackingURI string
	// ArtifactLocation is that of mlflow.yaml: the folder of the directory
	// registry, or where a new experiment of the server keeps its files.
	ArtifactLocation string
	// ExperimentName is that of mlflow.yaml.
	ExperimentName string
	// Credentials for the server. When they are empty, the variables that
	// MLflow's own clients read are looked up in the environment.
	Credentials mlflow.Credentials
	// RetryFor and Timeout are those of [mlflow.Options].
	RetryFor, Timeout time.Duration
	Logger            *slog.Logger
}

// Open returns the registry. It neither calls the server nor touches the
// folder.
func Open(c Config) (registry.Registry, error) {
	if c.TrackingURI == "" {
		root, err := localPath(c.ArtifactLocation)
		if err != nil {
			return nil, err
		}
		return directory.Open(directory.Options{Root: root, Experiment: c.ExperimentName, Logger: c.Logger})
	}
	if c.Credentials == (mlflow.Credentials{}) {
		c.Credentials = mlflow.CredentialsFrom(os.Getenv)
	}
	return mlflowregistry.Open(mlflowregistry.Options{
		Client: mlflow.Options{
			TrackingURI: c.TrackingURI, Credentials: c.Credentials,
			RetryFor: c.RetryFor, Timeout: c.Timeout, Logger: c.Logger,
		},
		Experiment:       c.ExperimentName,
		ArtifactLocation: c.ArtifactLocation,
		Logger:           c.Logger,
	})
}

// localPath is the folder that an artifact location names: a path, or a file:
// URI.
func localPath(location string) (string, error) {
	u, err := url.Parse(location)
	switch {
	case err != nil || u.Scheme == "":
		return location, nil //nolint:nilerr // what is no URI is a path
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && u.Path != "":
		return u.Path, nil
	case u.Scheme == "file":
		return "", fmt.Errorf("%w: artifact_location %q: write it as a path or as file:///path", registry.ErrInvalid, location)
	default:
		return "", fmt.Errorf("%w: artifact_location %q is not a folder: set MLFLOW_TRACKING_URI to the server that keeps it, or name a folder",
			registry.ErrInvalid, u.Redacted())
	}
}
