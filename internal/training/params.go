package training

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/internal/regularfile"
)

// NegLogLoss is the only scoring there is, by scikit-learn's name: candidates
// are compared by their mean log-loss over the folds, and less is better.
const NegLogLoss = "neg_log_loss"

// Params are the content of params.yaml.
type Params struct {
	// Data is the CSV file, or the .dvc pointer to one. A relative path is meant
	// from the folder of params.yaml.
	Data string `yaml:"data"`
	// Label names the column to predict, Drop those to leave out.
	Label string   `yaml:"label"`
	Drop  []string `yaml:"drop"`
	// TableParams say how the file is read.
	TableParams `yaml:",inline"`
	// TestSize is the share of the rows that are held out, in (0, 1).
	TestSize float64 `yaml:"test_size"`
	// RandomState seeds every random choice: 0 … 2³²−1.
	RandomState int64 `yaml:"random_state"`
	// NSplits is the number of folds of the cross-validation, 2 at least.
	NSplits int    `yaml:"n_splits"`
	Scoring string `yaml:"scoring"`
	// Candidates are compared in this order; nil stands for the default search.
	Candidates []Spec `yaml:"candidates"`
	// TimeBudget is how many seconds the candidates may take; 0 for no bound. The
	// first one is always tried to its end.
	TimeBudget float64 `yaml:"time_budget"`
}

// DefaultParams are the values of the keys that params.yaml leaves out. Data and
// label have none.
func DefaultParams() Params {
	return Params{
		TestSize: 0.2, RandomState: 42, NSplits: 5, Scoring: NegLogLoss, TimeBudget: 60,
	}
}

// maxParamsBytes is far above any params.yaml.
const maxParamsBytes = 1 << 20

// ReadParams reads a params.yaml, without checking its values: see
// [Params.Validate]. Unknown and repeated keys are errors. Its faults are
// [*InputError].
func ReadParams(path string) (Params, error) {
	text, err := regularfile.Read(path, maxParamsBytes)
	if err != nil {
		return Params{}, paramsError(path, err)
	}
	p, err := ParseParams(text)
	if err != nil {
		return Params{}, fmt.Errorf("%s: %w", path, err)
	}
	if p.Data != "" && !filepath.IsAbs(p.Data) {
		p.Data = filepath.Join(filepath.Dir(path), p.Data)
	}
	return p, nil
}

func paramsError(path string, err error) error {
	cause := err
	var wrapped *os.PathError
	if errors.As(err, &wrapped) {
		cause = wrapped.Err
	}
	return &InputError{Where: path, Problem: "cannot be read: " + cause.Error(), Remedy: "name a file by --params; see params.yaml in the repository of Petal", Err: err}
}

// ParseParams reads the text of a params.yaml.
func ParseParams(text []byte) (Params, error) {
	if len(text) > maxParamsBytes {
		return Params{}, &InputError{Where: "parameters", Problem: fmt.Sprintf("are longer than %d bytes", maxParamsBytes), Remedy: "shorten them"}
	}
	var documents []yaml.Node
	if err := yaml.Load(text, &documents, yaml.WithAllDocuments()); err != nil {
		return Params{}, notParams(err.Error())
	}
	p := DefaultParams()
	switch {
	case len(documents) == 0:
		return p, nil // a file of comments
	case len(documents) > 1:
		return Params{}, notParams("there are several documents")
	}
	if err := yaml.Load(text, &p, yaml.WithKnownFields()); err != nil {
		return Params{}, notParams(err.Error())
	}
	return p, nil
}

// yamlWords says in our words what the YAML library says in Go's.
var yamlWords = strings.NewReplacer(
	" not found in type training.Params", " is not known", " not found in type training.Spec", " is not known",
	"cannot construct ", "cannot use ", "!!seq", "a list", "!!map", "a mapping", "!!str", "the text",
	"!!float", "the number", "!!int", "the number", "!!bool", "the value", "!!null", "the value",
	" into training.Params", "; a mapping of keys is expected", " into training.Spec", "; a mapping of keys is expected",
	" into map[string][]interface {}", "; a mapping of lists is expected", " into map[string]interface {}", "; a mapping is expected",
	" into map[string]training.ColumnParams", "; a mapping of columns is expected", "yaml: construct errors: ", "",
	" into []interface {}", "; a list is expected", " into []string", "; a list of names is expected",
	" into []training.Spec", "; a list of candidates is expected", " into string", "; a text is expected",
	" into float64", "; a number is expected", " into int64", "; a whole number is expected", " into int", "; a whole number is expected",
)

func notParams(problem string) error {
	problem = yamlWords.Replace(strings.TrimPrefix(problem, "yaml: construct errors: "))
	return &InputError{
		Where: "parameters", Problem: strings.Join(strings.Fields(problem), " "),
		Remedy: "the keys are data, label, task, drop, header, delimiter, decimal, encoding, missing, columns, test_size, random_state, n_splits, scoring, time_budget and candidates (each with estimator, params, calibrate, max_rows, and param_grid or param_distributions with n_iter)",
	}
}

// Validate reports every value that cannot be used, each an [*InputError]. where
// names the file in messages.
func (p Params) Validate(where string) error {
	var faults []error
	fail := func(key, problem, remedy string) {
		faults = append(faults, &InputError{Where: where + ": " + key, Problem: problem, Remedy: remedy})
	}
	if p.Data == "" {
		fail("data", "is missing", "name a CSV file, here or by --data")
	}
	if p.Label == "" {
		fail("label", "is missing", "name the column to predict, here or by --label")
	}
	p.validateTable(fail)
	if slices.Contains(p.Drop, "") {
		fail("drop", "has an empty name", "name columns")
	}
	if !(p.TestSize > 0 && p.TestSize < 1) { // NaN fails too
		fail("test_size", fmt.Sprintf("%v is not between 0 and 1", p.TestSize), "write a share of the rows such as 0.2")
	}
	if p.RandomState < 0 || p.RandomState > math.MaxUint32 {
		fail("random_state", fmt.Sprintf("%d is out of range", p.RandomState), "write a whole number from 0 to 4294967295")
	}
	if p.NSplits < 2 {
		fail("n_splits", fmt.Sprintf("%d is less than 2", p.NSplits), "write a number of folds such as 5")
	}
	if p.Scoring != NegLogLoss {
		fail("scoring", fmt.Sprintf("%q is not known", p.Scoring), "write "+NegLogLoss)
	}
	if p.Candidates != nil && len(p.Candidates) == 0 {
		fail("candidates", "there is none", "add one, such as - estimator: LogisticRegression, or leave the key out for the default search")
	}
	if !(p.TimeBudget >= 0) || math.IsInf(p.TimeBudget, 0) {
		fail("time_budget", fmt.Sprintf("%v is no number of seconds", p.TimeBudget), "write a number such as 60, or 0 for no bound")
	}
	_, wrong := p.candidates(where)
	return errors.Join(append(faults, wrong...)...)
}

// Seed is RandomState as the generators take it; Validate has checked its range.
func (p Params) Seed() uint32 { return uint32(p.RandomState) } // 0 … 2³²−1, see Validate

// split names what decides, within one file, on the rows that are held out.
func (p Params) split() string {
	return fmt.Sprintf("test_size=%s random_state=%d label=%s", number(p.TestSize), p.RandomState, p.Label)
}

// Version is raised by hand whenever a change to the code could change the model
// that the same data and parameters give. It is part of the fingerprint, so that
// champions of older code are trained anew.
const Version = 2

// fingerprint identifies what decides on the model: the data's digest, the
// parameters with defaults filled in, the training version, and where time was up
// before all candidates were tried, those that were (see [fitted.finished]).
// Spelling, file names, the order of dropped columns and the time do not count.
func fingerprint(dataMD5 string, p Params, candidates []Candidate, finished string) (string, error) {
	type candidate struct {
		Estimator string         `json:"estimator"`
		Params    map[string]any `json:"params"`
		Tuned     bool           `json:"tuned,omitempty"`
		Calibrate bool           `json:"calibrate,omitempty"`
		MaxRows   int            `json:"max_rows,omitempty"`
	}
	facts := struct {
		Version     int         `json:"version"`
		Data        string      `json:"data"`
		Label       string      `json:"label"`
		Drop        []string    `json:"drop"`
		TestSize    float64     `json:"test_size"`
		RandomState int64       `json:"random_state"`
		NSplits     int         `json:"n_splits"`
		Scoring     string      `json:"scoring"`
		Candidates  []candidate `json:"candidates"`
		Finished    string      `json:"finished,omitempty"`
		// Not there for a file that is read as it is.
		Table *TableParams `json:"table,omitempty"`
	}{Version: Version, Data: dataMD5, Label: p.Label, TestSize: p.TestSize, RandomState: p.RandomState, NSplits: p.NSplits, Scoring: p.Scoring, Finished: finished}
	facts.Drop = slices.Compact(slices.Sorted(slices.Values(p.Drop)))
	if p.saysForm() || p.Task != "" {
		facts.Table = &p.TableParams
	}
	for _, c := range candidates {
		facts.Candidates = append(facts.Candidates, candidate{c.Name, c.New().Params(), c.tuned != nil, c.calibrate, c.maxRows})
	}
	text, err := json.Marshal(facts) // maps in sorted order
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
