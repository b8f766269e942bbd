package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/internal/regularfile"
)

// Registry says where models are registered, and which one is meant.
type Registry struct {
	// TrackingURI is the MLflow server; empty means the directory registry in
	// MLflow.ArtifactLocation.
	TrackingURI TrackingURI `env:"MLFLOW_TRACKING_URI"`
	// TrackingUsername, TrackingPassword and TrackingToken go to the MLflow
	// server: user and password, or else the token.
	TrackingUsername string `env:"MLFLOW_TRACKING_USERNAME"`
	TrackingPassword Secret `env:"MLFLOW_TRACKING_PASSWORD"`
	TrackingToken    Secret `env:"MLFLOW_TRACKING_TOKEN"`
	// TrackingCertFile holds the certificates, in PEM, that the MLflow server's
	// must come from; empty means those that the system trusts.
	TrackingCertFile string `env:"MLFLOW_TRACKING_SERVER_CERT_PATH"`
	ModelName        string `env:"MODEL_NAME" envDefault:"iris"`
	// ModelAlias names the version to serve; "latest" is the highest number.
	ModelAlias string `env:"MODEL_ALIAS" envDefault:"champion"`
	// MLflow is what mlflow.yaml says.
	MLflow MLflow
	AWS    AWS
}

// AWS holds what S3-compatible storage asks for. What is empty is looked up in
// the usual credential chain.
type AWS struct {
	AccessKeyID     string `env:"AWS_ACCESS_KEY_ID"`
	SecretAccessKey Secret `env:"AWS_SECRET_ACCESS_KEY"`
	DefaultRegion   string `env:"AWS_DEFAULT_REGION"`
	EndpointURL     string `env:"AWS_ENDPOINT_URL"`
}

// MLflow is the content of mlflow.yaml.
type MLflow struct {
	ArtifactLocation string `yaml:"artifact_location"`
	ExperimentName   string `yaml:"experiment_name"`
}

// mlflowFile is looked up in the directory of the settings.
const mlflowFile = "mlflow.yaml"

// ReadMLflow reads dir/mlflow.yaml. A missing file and a missing or empty key
// take the defaults ./mlruns and iris_classification; an unknown key is an
// error. Relative locations are left as they are written.
func ReadMLflow(dir string) (MLflow, error) {
	defaults := MLflow{ArtifactLocation: "./mlruns", ExperimentName: "iris_classification"}
	path := filepath.Join(dir, mlflowFile)
	content, err := regularfile.Read(path, maxFileBytes)
	if errors.Is(err, os.ErrNotExist) {
		return defaults, nil
	}
	if err != nil {
		return defaults, Fault{Variable: path, Problem: "cannot be read: " + plain(err), Remedy: "make it readable or remove it"}
	}
	var documents []MLflow
	err = yaml.Load(content, &documents, yaml.WithKnownFields(), yaml.WithAllDocuments())
	if err == nil && len(documents) > 1 {
		err = errors.New("holds more than one document")
	}
	if err != nil {
		return defaults, Fault{
			Variable: path,
			Problem:  strings.Join(strings.Fields(err.Error()), " "),
			Remedy:   "write the keys artifact_location and experiment_name, each with a text",
		}
	}
	if len(documents) == 0 { // empty, or comments alone
		return defaults, nil
	}
	m := documents[0]
	if m.ArtifactLocation == "" {
		m.ArtifactLocation = defaults.ArtifactLocation
	}
	if m.ExperimentName == "" {
		m.ExperimentName = defaults.ExperimentName
	}
	return m, nil
}

// readFiles is called by [Load], on the structs that embed Registry too.
func (r *Registry) readFiles(dir string) Faults {
	var err error
	r.MLflow, err = ReadMLflow(dir)
	if f := (Fault{}); errors.As(err, &f) {
		return Faults{f}
	}
	return nil
}

// MLflow refuses these signs in the name of a model, and these aliases:
// mlflow/utils/validation.py.
var (
	modelAlias   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	versionAlias = regexp.MustCompile(`^[vV]\d+$`)
)

func (r *Registry) validate() Faults {
	var faults Faults
	if r.TrackingCertFile != "" {
		faults = readable("MLFLOW_TRACKING_SERVER_CERT_PATH", r.TrackingCertFile)
	}
	if strings.ContainsAny(r.ModelName, "/:") || len(r.ModelName) > 255 {
		faults = append(faults, Fault{
			"MODEL_NAME", fmt.Sprintf("%q is not a model name", r.ModelName),
			"write a name without / and :, such as iris",
		})
	}
	if !modelAlias.MatchString(r.ModelAlias) || versionAlias.MatchString(r.ModelAlias) {
		faults = append(faults, Fault{
			"MODEL_ALIAS", fmt.Sprintf("%q is not an alias", r.ModelAlias),
			"write letters, digits, _ and -, but not v and a number; for example champion or latest",
		})
	}
	return faults
}
