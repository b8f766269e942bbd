package mlmodel

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Tags that MLflow itself gives a meaning.
const (
	TagUser       = "mlflow.user"
	TagSourceName = "mlflow.source.name"
	TagSourceType = "mlflow.source.type"
	TagGitCommit  = "mlflow.source.git.commit"
	TagNote       = "mlflow.note.content"
	TagParentRun  = "mlflow.parentRunId"
	// TagTables names files that are shown as tables.
	TagTables = "mlflow.loggedArtifacts"
)

// Lengths in characters, from MLflow's utils/validation.py.
const (
	maxKey         = 250
	maxModelName   = 256
	maxAlias       = 255
	maxDatasetName = 500
	// maxDigest holds an MD5 in hex, but no SHA-256.
	maxDigest = 36
)

// keyText are the characters of a key; Python's \w takes letters and digits of
// all scripts.
var keyText = regexp.MustCompile(`^[/\pL\pN_.\- :]+$`)

// CheckKey says whether MLflow takes the key of a parameter, metric or tag.
func CheckKey(key string) error {
	switch {
	case key == "":
		return errors.New("a key is empty")
	case utf8.RuneCountInString(key) > maxKey:
		return fmt.Errorf("key %.40q… is longer than %d characters", key, maxKey)
	case !keyText.MatchString(key):
		return fmt.Errorf("key %q: only letters, digits and _ - . : / and spaces are allowed", key)
	case !canonicalPath(key):
		return fmt.Errorf("key %q: reads as a path that leads elsewhere", key)
	}
	return nil
}

// CheckModelName says whether a registered model can have this name.
func CheckModelName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("the model's name is empty")
	case strings.ContainsAny(name, "/:"):
		return fmt.Errorf("model name %q: / and : are not allowed", name)
	case !canonicalPath(name):
		return fmt.Errorf("model name %q: reads as a path that leads elsewhere", name)
	case utf8.RuneCountInString(name) > maxModelName:
		return fmt.Errorf("model name %.40q… is longer than %d characters", name, maxModelName)
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
		return fmt.Errorf("alias %q: only letters, digits, _ and - are allowed", alias)
	case reservedAlias.MatchString(alias):
		return fmt.Errorf("alias %q is reserved", alias)
	case utf8.RuneCountInString(alias) > maxAlias:
		return fmt.Errorf("alias %.40q… is longer than %d characters", alias, maxAlias)
	}
	return nil
}

// CheckDataset says whether MLflow takes a data set's name and digest.
func CheckDataset(name, digest string) error {
	if name == "" || digest == "" {
		return fmt.Errorf("a data set needs a name and a digest, got %q and %q", name, digest)
	}
	if n := utf8.RuneCountInString(name); n > maxDatasetName {
		return fmt.Errorf("the data set's name has %d characters, MLflow takes %d", n, maxDatasetName)
	}
	if n := utf8.RuneCountInString(digest); n > maxDigest {
		return fmt.Errorf("the data set's digest has %d characters, MLflow takes %d", n, maxDigest)
	}
	return nil
}

// CheckPath refuses file names that are empty, absolute, or leave the directory
// they belong to, and those with characters that the server takes for parts of
// a URL, however they are escaped.
func CheckPath(name string) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) == "." {
		return fmt.Errorf("path %q must be relative and stay inside its directory", name)
	}
	isBad := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\%#?`, r) }
	if strings.ContainsFunc(name, isBad) {
		return fmt.Errorf(`path %q: none of \ %% # ? and control characters is allowed`, name)
	}
	return nil
}

// canonicalPath follows Python's posixpath.normpath: MLflow once kept keys as
// file names.
func canonicalPath(name string) bool {
	return path.Clean(name) == name && name != "." && !strings.HasPrefix(name, "..") && !strings.HasPrefix(name, "/")
}
