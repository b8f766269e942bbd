package clients

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// casesVariable says how many requests schemathesis makes up for each operation;
// `make conformance` sets it high.
const casesVariable = "PETAL_SPEC_CASES"

// schemathesisConfig names the model: of a made-up one there is little to say. A
// schema cannot say how wide a row is whatever model serves, nor what a CSV holds:
// a request that fits it may still be refused.
const schemathesisConfig = `
[parameters]
"path.model" = "iris"
"path.version" = "1"

[checks]
positive_data_acceptance.enabled = false
`

// Requests that schemathesis makes of the specification, good ones and bad ones,
// are answered as the specification says: no 5xx, no status, header or body that
// it does not know, nothing accepted that it excludes.
func TestRequestsFromTheSpecification(t *testing.T) {
	schemathesis := testenv.Tool(t, "schemathesis")
	_, api := start(t)
	cases := cmp.Or(os.Getenv(casesVariable), "10")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "schemathesis.toml"), []byte(schemathesisConfig), 0o600))
	result := testenv.Run(t, testenv.Command{
		Path: schemathesis, Dir: dir, Env: testenv.Environ(),
		Args: []string{
			"run", api.URL + "/openapi.json", "--header", "Authorization: Bearer " + api.Token(), "--max-examples", cases,
			"--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--generation-database", "none", "--no-color",
			"--report", "json", "--report-json-path", "report.json",
		},
	}, 10*time.Minute)
	require.Zero(t, result.Code, result.Output)

	var report struct {
		Operations struct{ Total, Tested int }
		TestCases  struct{ Generated int }           `json:"test_cases"`
		ValidRates map[string]map[string]acceptances `json:"valid_rates"`
	}
	content, err := os.ReadFile(filepath.Join(dir, "report.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &report))
	require.Greater(t, report.Operations.Total, 20)
	require.Equal(t, report.Operations.Total, report.Operations.Tested)
	wanted, err := strconv.Atoi(cases)
	require.NoError(t, err)
	require.Greater(t, report.TestCases.Generated, 150+6*wanted, result.Output)
	for _, operation := range []string{"POST /predict", "POST /invocations", "POST /v2/models/{model}/infer"} {
		accepted := 0
		for _, phase := range report.ValidRates[operation] {
			accepted += phase.Accepted
		}
		require.NotZero(t, accepted, "no request to %s was good enough to be answered", operation)
	}
	t.Logf("%d requests to %d operations", report.TestCases.Generated, report.Operations.Tested)
}

type acceptances struct{ Accepted int }
