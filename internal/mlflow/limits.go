package mlflow

import (
	"fmt"
	"unicode/utf8"
)

// Lengths in characters, from MLflow's utils/validation.py. The server cuts
// longer values of parameters and run tags and answers 200; the client
// therefore refuses them, and callers cut them with CutParam and CutTag.
const (
	maxParam      = 6000
	maxTag        = 8000
	maxVersionTag = 100_000
)

// maxPages bounds the pages of a list: a server may give them without end.
const maxPages = 200

// One runs/log-batch call holds this much.
const (
	maxBatchMetrics = 1000
	maxBatchParams  = 100
	maxBatchTags    = 100
	// maxBatchBytes stays under the server's 1 MB with room for the frame.
	maxBatchBytes = 900_000
)

// CutParam shortens a parameter's value to what MLflow keeps, and says whether
// it had to.
func CutParam(value string) (string, bool) { return cut(value, maxParam) }

// CutTag does for the value of a run's tag what CutParam does for parameters.
func CutTag(value string) (string, bool) { return cut(value, maxTag) }

func cut(s string, limit int) (string, bool) {
	if len(s) <= limit { // no more characters than bytes
		return s, false
	}
	count := 0
	for i := range s {
		if count == limit {
			return s[:i], true
		}
		count++
	}
	return s, false
}

func checkLength(what, value string, limit int) error {
	if n := utf8.RuneCountInString(value); n > limit {
		return fmt.Errorf("%s has %d characters, MLflow takes %d", what, n, limit)
	}
	return nil
}

// invalid marks what a check of names found as refused before sending.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: Invalid, Message: err.Error()}
}

// misled is for an answer that no MLflow gives.
func (c *Client) misled(call, format string, args ...any) error {
	return &Error{Kind: Unavailable, Server: c.Server(), Call: call, Message: fmt.Sprintf(format, args...)}
}

func invalidf(format string, args ...any) error {
	return &Error{Kind: Invalid, Message: fmt.Sprintf(format, args...)}
}

// chunks splits items into groups of at most count items and size bytes. An
// item that is larger alone makes a group of its own.
func chunks[T any](items []T, count, size int, sizeOf func(T) int) [][]T {
	var groups [][]T
	start, total := 0, 0
	for i, item := range items {
		n := sizeOf(item)
		if i > start && (i-start == count || total+n > size) {
			groups = append(groups, items[start:i])
			start, total = i, 0
		}
		total += n
	}
	if start < len(items) {
		groups = append(groups, items[start:])
	}
	return groups
}

// wireSize is the most bytes that a text may take as ASCII-only JSON, which is
// what the server measures.
func wireSize(texts ...string) int {
	n := 64 // quotes, names and numbers around them
	for _, text := range texts {
		for _, r := range text {
			switch {
			case r > 0xffff:
				n += 12 // a pair of surrogates
			case r < ' ' || r > '~':
				n += 6
			case r == '"' || r == '\\':
				n += 2
			default:
				n++
			}
		}
	}
	return n
}
