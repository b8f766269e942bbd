// Package backend chooses the registry: an MLflow server where a tracking URI
// is set, a directory where it is not.
package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/registry/mlflowregistry"
)

// Defaults of the keys of mlflow.yaml.
const (
	DefaultArtifactLocation = "./mlruns"
	DefaultExperimentName   = "petal"
)

// A Project is the content of mlflow.yaml.
type Project struct {
	ArtifactLocation string `yaml:"artifact_location"`
	ExperimentName   string `yaml:"experiment_name"`
}

// Config says which registry to open.
type Config struct {
	// TrackingURI is MLFLOW_TRACKING_URI: http(s)://… or empty.
	TrackingURI string
	Project     Project
	// Credentials for the server; see [mlflow.CredentialsFrom].
	Credentials mlflow.Credentials
	// RetryFor and Timeout are those of [mlflow.Options].
	RetryFor, Timeout time.Duration
	Logger            *slog.Logger
}

// ReadProject reads mlflow.yaml. Keys that are not set, and a file that is not
// there, leave the defaults.
func ReadProject(path string) (Project, error) {
	var p Project
	data, err := os.ReadFile(path) //nolint:gosec // the user's own settings
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("read project settings: %w", err)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithKnownFields())
	if err == nil {
		err = loader.Load(&p)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return Project{}, fmt.Errorf("%s: %s (the keys are artifact_location and experiment_name)", path, strings.Join(strings.Fields(err.Error()), " "))
	}
	if p.ArtifactLocation == "" {
		p.ArtifactLocation = DefaultArtifactLocation
	}
	if p.ExperimentName == "" {
		p.ExperimentName = DefaultExperimentName
	}
	return p, nil
}

// Open returns the registry. It neither calls the server nor touches the
// folder.
func Open(c Config) (registry.Registry, error) {
	if c.Project.ExperimentName == "" {
		c.Project.ExperimentName = DefaultExperimentName
	}
	if c.TrackingURI == "" {
		root, err := localPath(c.Project.ArtifactLocation)
		if err != nil {
			return nil, err
		}
		return directory.Open(directory.Options{Root: root, Experiment: c.Project.ExperimentName, Logger: c.Logger})
	}
	return mlflowregistry.Open(mlflowregistry.Options{
		Client: mlflow.Options{
			TrackingURI: c.TrackingURI, Credentials: c.Credentials,
			RetryFor: c.RetryFor, Timeout: c.Timeout, Logger: c.Logger,
		},
		Experiment:       c.Project.ExperimentName,
		ArtifactLocation: c.Project.ArtifactLocation,
		Logger:           c.Logger,
	})
}

// localPath is the folder that an artifact location names: a path, or a file:
// URI.
func localPath(location string) (string, error) {
	if location == "" {
		return DefaultArtifactLocation, nil
	}
	u, err := url.Parse(location)
	switch {
	case err != nil || u.Scheme == "":
		return location, nil
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && u.Path != "":
		return u.Path, nil
	case u.Scheme == "file":
		return "", fmt.Errorf("%w: artifact_location %q: write it as a path or as file:///path", registry.ErrInvalid, location)
	default:
		return "", fmt.Errorf("%w: artifact_location %q is not a folder: set MLFLOW_TRACKING_URI to the server that keeps it, or name a folder",
			registry.ErrInvalid, u.Redacted())
	}
}
