// Package open opens the registry that a location names: the scheme of its URL
// chooses the implementation.
package open

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/registry/mlflowregistry"
	"github.com/petal-ml/petal/internal/regularfile"
)

// Config says which registry to open.
type Config struct {
	// TrackingURI is MLFLOW_TRACKING_URI: http(s)://…, or empty where
	// ArtifactLocation is the registry.
	TrackingURI string
	// ArtifactLocation is that of mlflow.yaml: the folder of the directory
	// registry, or where a new experiment of the server keeps its files.
	ArtifactLocation string
	// Dir is what a relative folder is relative to; empty for the working
	// directory.
	Dir string
	// ExperimentName is that of mlflow.yaml.
	ExperimentName string
	// Credentials for the server.
	Credentials mlflow.Credentials
	// CertFile is a PEM file with the certificates that the server's must come
	// from; empty for those that the system trusts.
	CertFile string
	// LockDir is that of [mlflowregistry.Options]: for those who write to the
	// server.
	LockDir string
	// RetryFor and Timeout are those of [mlflow.Options].
	RetryFor, Timeout time.Duration
	Logger            *slog.Logger
}

// openers has what opens a registry, by the scheme of its location. A location
// without a scheme is a path.
var openers = map[string]func(Config, *url.URL) (registry.Registry, error){
	"":      openDirectory,
	"file":  openDirectory,
	"http":  openServer,
	"https": openServer,
}

// Open returns the registry that the tracking URI names, or else the artifact
// location. It neither calls the server nor touches the folder.
func Open(c Config) (registry.Registry, error) {
	u, err := url.Parse(cmp.Or(c.TrackingURI, c.ArtifactLocation))
	if err != nil {
		u = &url.URL{Path: c.ArtifactLocation} // what is no URL is a path
	}
	open, ok := openers[u.Scheme]
	switch {
	case c.TrackingURI != "" && (!ok || u.Scheme == ""):
		return openServer(c, u) // says what it takes
	case !ok:
		return nil, fmt.Errorf("%w: artifact_location %q is not a folder: set MLFLOW_TRACKING_URI to the server that keeps it, or name a folder",
			registry.ErrInvalid, u.Redacted())
	}
	return open(c, u)
}

func openDirectory(c Config, u *url.URL) (registry.Registry, error) {
	root := c.ArtifactLocation
	if u.Scheme == "file" {
		if u.Host != "" && u.Host != "localhost" || u.Path == "" {
			return nil, fmt.Errorf("%w: artifact_location %q: write it as a path or as file:///path", registry.ErrInvalid, u)
		}
		root = u.Path
	}
	if root != "" && !filepath.IsAbs(root) {
		root = filepath.Join(c.Dir, root)
	}
	return directory.Open(directory.Options{Root: root, Experiment: c.ExperimentName, Logger: c.Logger})
}

func openServer(c Config, _ *url.URL) (registry.Registry, error) {
	client := mlflow.Options{
		TrackingURI: c.TrackingURI, Credentials: c.Credentials,
		RetryFor: c.RetryFor, Timeout: c.Timeout, Logger: c.Logger,
	}
	if c.CertFile != "" {
		content, err := regularfile.Read(c.CertFile, 1<<20)
		if err != nil {
			return nil, registry.Invalid(err)
		}
		client.RootCAs = x509.NewCertPool()
		if !client.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%w: %s holds no certificate in PEM", registry.ErrInvalid, c.CertFile)
		}
	}
	return mlflowregistry.Open(mlflowregistry.Options{
		Client: client, Experiment: c.ExperimentName, ArtifactLocation: c.ArtifactLocation, LockDir: c.LockDir, Logger: c.Logger,
	})
}
