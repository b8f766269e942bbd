// Package settings reads what the environment, a .env file and mlflow.yaml say,
// for both binaries.
//
// Every variable and its default stands once, as a field of [API] or [Trainer]
// (or of a struct that both embed). [Load] reports all faults at once: an
// operator mends a broken configuration in one go, not line by line.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"

	"github.com/petal-ml/petal/internal/regularfile"
)

// A Fault is one thing wrong with the configuration. Its text never holds the
// value of a secret.
type Fault struct {
	Variable string // the environment variable or the file that is wrong
	Problem  string // what is wrong with it, such as `"ten" is not a number`
	Remedy   string // what to do, as an order: "write a number from 1 to 1440"
}

// Error is "VARIABLE: problem; remedy".
func (f Fault) Error() string {
	text := f.Problem
	if f.Remedy != "" {
		text += "; " + f.Remedy
	}
	if f.Variable == "" {
		return text
	}
	return f.Variable + ": " + text
}

// Faults are all that is wrong with a configuration, a line each.
type Faults []Fault

// Error lists the faults, one on a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// orNil keeps an empty list from becoming a non-nil error.
func (fs Faults) orNil() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// fault is shorthand for the one-element list that validate methods join.
func fault(variable, problem, remedy string) Faults {
	return Faults{{Variable: variable, Problem: problem, Remedy: remedy}}
}

// Load fills a T, [API] or [Trainer], from environ (as [os.Environ] gives it),
// from dir/.env where the environment lacks a variable, and from
// dir/mlflow.yaml. A variable that is set but empty counts as unset: it takes
// its default, and an empty one in the environment hides the one of .env. The
// error is a [Faults] with everything that is wrong.
func Load[T any](dir string, environ []string) (T, error) {
	var cfg T
	variables, faults := readEnvironment(dir, environ)

	if err := env.ParseWithOptions(&cfg, env.Options{Environment: variables}); err != nil {
		faults = append(faults, parseFaults(reflect.TypeFor[T](), err)...)
	}
	if files, ok := any(&cfg).(interface{ readFiles(dir string) Faults }); ok {
		faults = append(faults, files.readFiles(dir)...)
	}
	if v, ok := any(&cfg).(interface{ validate() Faults }); ok {
		faults = append(faults, withoutRepeats(faults, v.validate())...)
	}
	return cfg, faults.orNil()
}

// readEnvironment merges .env below the environment and drops what is empty.
func readEnvironment(dir string, environ []string) (map[string]string, Faults) {
	variables, faults := readDotEnv(filepath.Join(dir, ".env"))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			variables[name] = value
		}
	}
	maps.DeleteFunc(variables, func(_, value string) bool { return value == "" })
	return variables, faults
}

// maxFileBytes is far above any file of settings.
const maxFileBytes = 1 << 20

// readDotEnv reads a .env file; one that is not there is empty. godotenv quotes
// the text it stumbles over, which may be a secret, so only the line is named.
func readDotEnv(path string) (map[string]string, Faults) {
	content, err := regularfile.Read(path, maxFileBytes)
	if errors.Is(err, os.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return map[string]string{}, fault(path, "cannot be read: "+plain(err), "make it readable or remove it")
	}
	text := strings.TrimPrefix(string(content), "\ufeff") // editors of Windows begin with one
	variables, ok := parseDotEnv(text)
	if !ok {
		return map[string]string{}, fault(path, fmt.Sprintf("line %d is not NAME=value", faultyLine(text)),
			"mend the line; put values with spaces, $ or # in single quotes")
	}
	return variables, nil
}

// variableName is what godotenv itself does not insist on: it lets a last line
// without an equals sign pass.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

func parseDotEnv(content string) (map[string]string, bool) {
	variables, err := godotenv.Unmarshal(content)
	if err != nil {
		return nil, false
	}
	for name := range variables {
		if !variableName.MatchString(name) {
			return nil, false
		}
	}
	return variables, true
}

// faultyLine finds the first line that spoils the file, counted from 1: the one
// after the longest prefix of lines that parses.
func faultyLine(content string) int {
	lines := strings.Split(content, "\n")
	for n := len(lines) - 1; n > 0; n-- {
		if _, ok := parseDotEnv(strings.Join(lines[:n], "\n")); ok {
			return n + 1
		}
	}
	return 1
}

// parseFaults turns env's errors, which name Go fields, into faults that name
// variables. The types of the fields parse themselves, and say what is wrong
// and which values may be shown.
func parseFaults(t reflect.Type, err error) Faults {
	names := variableNames(t)
	all := []error{err}
	if aggregate := (env.AggregateError{}); errors.As(err, &aggregate) {
		all = aggregate.Errors
	}
	var faults Faults
	for _, err := range all {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			faults = append(faults, Fault{Problem: err.Error()})
			continue
		}
		name := names[parse.Name]
		var own Fault
		if !errors.As(parse.Err, &own) {
			own = Fault{Problem: "is not a valid " + parse.Type.String()}
		}
		own.Variable = name
		faults = append(faults, own)
	}
	return faults
}

// variableNames maps the fields of t and of the structs in it to the variables
// they are read from. No two fields of one configuration share a name.
func variableNames(t reflect.Type) map[string]string {
	names := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("env"); name != "" {
			names[f.Name] = name
		} else if f.Type.Kind() == reflect.Struct {
			maps.Copy(names, variableNames(f.Type))
		}
	}
	return names
}

// withoutRepeats drops the faults of variables that are known to be wrong: what
// could not be parsed was left at its zero value, which is wrong once more.
func withoutRepeats(known, more Faults) Faults {
	seen := map[string]bool{}
	for _, f := range known {
		seen[f.Variable] = true
	}
	var kept Faults
	for _, f := range more {
		if !seen[f.Variable] {
			kept = append(kept, f)
		}
	}
	return kept
}

// plain is an error of the file system without the path, which the fault names
// already.
func plain(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
