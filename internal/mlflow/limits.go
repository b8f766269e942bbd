package mlflow

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Lengths in characters, from MLflow's utils/validation.py. The server cuts
// longer values of parameters and run tags and answers 200; the client
// therefore refuses them, and callers cut them with CutParam and CutTag.
const (
	maxParam       = 6000
	maxTag         = 8000
	maxKey         = 250
	maxDatasetName = 500
	// maxDigest holds an MD5 in hex, but no SHA-256.
	maxDigest     = 36
	maxVersionTag = 100_000
	maxAlias      = 255
)

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

// keyText are the characters of a key; Python's \w takes letters and digits of
// all scripts.
var keyText = regexp.MustCompile(`^[/\pL\pN_.\- :]+$`)

// CheckKey says whether MLflow takes the key of a parameter, metric or tag.
// The error is an [*Error] of kind [Invalid].
func CheckKey(key string) error {
	switch {
	case key == "":
		return invalidf("a key is empty")
	case utf8.RuneCountInString(key) > maxKey:
		return invalidf("key %.40q… is longer than %d characters", key, maxKey)
	case !keyText.MatchString(key):
		return invalidf("key %q: only letters, digits and _ - . : / and spaces are allowed", key)
	case !canonicalPath(key):
		return invalidf("key %q: reads as a path that leads elsewhere", key)
	}
	return nil
}

// CheckModelName says whether a registered model can have this name.
func CheckModelName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return invalidf("the model's name is empty")
	case strings.ContainsAny(name, "/:"):
		return invalidf("model name %q: / and : are not allowed", name)
	case !canonicalPath(name):
		return invalidf("model name %q: reads as a path that leads elsewhere", name)
	case utf8.RuneCountInString(name) > 256:
		return invalidf("model name %.40q… is longer than 256 characters", name)
	}
	return nil
}

var (
	aliasText     = regexp.MustCompile(`^[\pL\pN_-]+$`)
	reservedAlias = regexp.MustCompile(`^([vV][0-9]+|(?i:latest))$`)
)

// CheckAlias says whether an alias can be set: "latest" and "v3" cannot.
func CheckAlias(alias string) error {
	switch {
	case !aliasText.MatchString(alias):
		return invalidf("alias %q: only letters, digits, _ and - are allowed", alias)
	case reservedAlias.MatchString(alias):
		return invalidf("alias %q is reserved", alias)
	case utf8.RuneCountInString(alias) > maxAlias:
		return invalidf("alias %.40q… is longer than %d characters", alias, maxAlias)
	}
	return nil
}

// canonicalPath follows Python's posixpath.normpath: MLflow once kept keys as
// file names.
func canonicalPath(name string) bool {
	return path.Clean(name) == name && name != "." && !strings.HasPrefix(name, "..") && !strings.HasPrefix(name, "/")
}

func checkLength(what, value string, limit int) error {
	if n := utf8.RuneCountInString(value); n > limit {
		return invalidf("%s has %d characters, MLflow takes %d", what, n, limit)
	}
	return nil
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
