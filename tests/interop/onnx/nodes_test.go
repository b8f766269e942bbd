package onnx_test

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
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
	return map[string]string{}
}

// TestNodeCases runs every backend case whose operators Petal has and whose
// tensors hold elements that it holds.
func TestNodeCases(t *testing.T) {
	dir := exported(t, "onnx-nodes", nodesScript)
	var file struct{ Cases []nodeCase }
	readJSON(t, filepath.Join(dir, "cases.json"), &file)
	known := knownNodeFailures()
	passed, foreign, ml := 0, 0, 0
	for _, c := range file.Cases {
		err := runNodeCase(c)
		var missing missingOperatorError
		switch {
		case errors.As(err, &missing):
			foreign++
			require.NotContains(t, c.Name, "test_ai_onnx_ml_", "%v", err)
		case err != nil && known[c.Name] == "":
			t.Errorf("%s: %v", c.Name, err)
		case err == nil && known[c.Name] != "":
			t.Errorf("%s passes, but is listed as failing", c.Name)
		case err == nil:
			passed++
			if strings.HasPrefix(c.Name, "test_ai_onnx_ml_") {
				ml++
			}
		}
	}
	require.GreaterOrEqual(t, ml, 8, "cases of ai.onnx.ml")
	require.GreaterOrEqual(t, passed, 300)
	t.Logf("%d cases passed, %d of them of ai.onnx.ml; %d need operators that Petal does not have; %d are listed as failing", passed, ml, foreign, len(known))
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
	if missing := model.MissingOperators(); len(missing) > 0 {
		return missingOperatorError{missing}
	}
	session, err := onnx.NewSession(model)
	if err != nil {
		return err
	}
	inputs := map[string]onnx.Value{}
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
