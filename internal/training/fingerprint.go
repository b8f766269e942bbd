package training

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Version is raised by hand whenever a change to the code could change the model
// that the same data and parameters give. It is part of the fingerprint, so that
// champions of older code are trained anew.
const Version = 2

// fingerprint identifies what decides on the model: the data's digest, the
// parameters with defaults filled in, and the training version. Spelling, file
// names and the order of dropped columns do not count.
func fingerprint(dataMD5 string, p Params, candidates []Candidate) (string, error) {
	type candidate struct {
		Estimator string         `json:"estimator"`
		Params    map[string]any `json:"params"`
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
	}{Version: Version, Data: dataMD5, Label: p.Label, TestSize: p.TestSize, RandomState: p.RandomState, NSplits: p.NSplits, Scoring: p.Scoring}
	facts.Drop = slices.Compact(slices.Sorted(slices.Values(p.Drop)))
	for _, c := range candidates {
		facts.Candidates = append(facts.Candidates, candidate{c.Name, c.New().Params()})
	}
	text, err := json.Marshal(facts) // maps in sorted order
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
