package onnx_test

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

//go:embed nodes.py
var nodesScript string

// A nodeCase is one case of the onnx package's backend suite.
type nodeCase struct {
	Name    string      `json:"name"`
	Model   string      `json:"model"` // base64
	Inputs  []jsonValue `json:"inputs"`
	Outputs []jsonValue `json:"outputs"`
	RTol    float64     `json:"rtol"`
	ATol    float64     `json:"atol"`
}

// knownNodeFailures are the cases of operators that Petal has and that it does
// not pass, each with the reason.
func knownNodeFailures() map[string]string {
	const training = "training_mode: what depends on chance, or on the other rows"
	return map[string]string{
		"test_batchnorm_example_training_mode":  training,
		"test_batchnorm_epsilon_training_mode":  training,
		"test_training_dropout":                 training,
		"test_training_dropout_default":         training,
		"test_training_dropout_default_mask":    training,
		"test_training_dropout_mask":            training,
		"test_training_dropout_zero_ratio":      training,
		"test_training_dropout_zero_ratio_mask": training,
	}
}

// TestNodeCases runs every backend case whose operators Petal has and whose
// tensors hold elements that it holds.
func TestNodeCases(t *testing.T) {
	dir := exported(t, "onnx-nodes", nodesScript)
	var file struct{ Cases []nodeCase }
	readJSON(t, filepath.Join(dir, "cases.json"), &file)
	known := knownNodeFailures()
	passed, foreign, ml := 0, 0, 0
	leftOut := leftOutTypes(t, dir)
	for _, c := range file.Cases {
		err := runNodeCase(c)
		var missing missingOperatorError
		switch {
		case errors.As(err, &missing):
			foreign++
			leftOut[c.Name] = missing.Error()
			require.NotContains(t, c.Name, "test_ai_onnx_ml_", "%v", err)
		case err != nil && known[c.Name] == "":
			t.Errorf("%s: %v", c.Name, err)
		case err == nil && known[c.Name] != "":
			t.Errorf("%s passes, but is listed as failing", c.Name)
		case err != nil:
			leftOut[c.Name] = known[c.Name]
		case err == nil:
			passed++
			if strings.HasPrefix(c.Name, "test_ai_onnx_ml_") {
				ml++
			}
		}
	}
	require.GreaterOrEqual(t, ml, 8, "cases of ai.onnx.ml")
	require.GreaterOrEqual(t, passed, 1000)
	checkLeftOut(t, passed, leftOut)
	t.Logf("%d cases passed, %d of them of ai.onnx.ml; %d need operators that Petal does not have; %d are listed as failing", passed, ml, foreign, len(known))
}

// leftOutTypes lists the cases that the exporter left out, each with the reason.
func leftOutTypes(t *testing.T, dir string) map[string]string {
	t.Helper()
	var index struct {
		Cases []struct{ Name, Reason string }
	}
	readJSON(t, filepath.Join(dir, "index.json"), &index)
	out := map[string]string{}
	for _, c := range index.Cases {
		if c.Reason != "" {
			out[c.Name] = c.Reason
		}
	}
	return out
}

// checkLeftOut compares testdata/cases_left_out.txt with this run: the reasons, each
// with the cases of the onnx package's suite that are not run.
func checkLeftOut(t *testing.T, passed int, leftOut map[string]string) {
	t.Helper()
	byReason := map[string][]string{}
	for name, reason := range leftOut {
		byReason[reason] = append(byReason[reason], name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d cases pass, %d are left out.\n", passed, len(leftOut))
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		names := byReason[reason]
		slices.Sort(names)
		fmt.Fprintf(&b, "\n%s\n\t%s\n", reason, strings.Join(names, "\n\t"))
	}
	path := filepath.Join("testdata", "cases_left_out.txt")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
		return
	}
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	same := b.String() == string(page) // Equal would print 50 kB twice
	require.True(t, same, "%s is not what this run makes: run with -update, and look at what git diff says", path)
}

// A missingOperatorError is a case about another operator.
type missingOperatorError struct{ names []string }

func (e missingOperatorError) Error() string { return strings.Join(e.names, ", ") }

func runNodeCase(c nodeCase) error {
	data, err := base64.StdEncoding.DecodeString(c.Model)
	if err != nil {
		return err
	}
	model, err := onnx.Load(bytes.NewReader(data), onnx.Limits{})
	if errors.Is(err, onnx.ErrUnsupported) {
		return missingOperatorError{[]string{err.Error()}} // such as a sparse attribute, or a float16 constant
	}
	if err != nil {
		return err
	}
	if missing := eval.MissingOperators(model); len(missing) > 0 {
		return missingOperatorError{missing}
	}
	session, err := eval.NewSession(model)
	if err != nil {
		return err
	}
	inputs := map[string]eval.Value{}
	for i, in := range session.Inputs() {
		if i >= len(c.Inputs) {
			return fmt.Errorf("no value for input %q", in.Name)
		}
		if inputs[in.Name], err = c.Inputs[i].tensor(); err != nil {
			return err
		}
	}
	outputs, err := session.Run(inputs)
	if err != nil {
		return err
	}
	for i := range outputs {
		if d := differs(outputs[i], &c.Outputs[i], max(c.RTol, c.ATol, 1e-6)); d != "" {
			return fmt.Errorf("output %d: %s", i, d)
		}
	}
	return nil
}
