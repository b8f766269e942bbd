// Package dvc pulls files that DVC tracks, without DVC: it reads the pointer
// (FILE.dvc), the configuration and the objects of a remote, and verifies every
// byte against the pointer's MD5.
//
// Formats: https://dvc.org/doc/user-guide/project-structure. What this package
// leaves behind (the file, the object in .dvc/cache) is what DVC 3 leaves, so
// that both can be used in turn. Unlike DVC it trusts no object for its mode or
// name: each is hashed again.
package dvc

import "errors"

// What is wrong, for [errors.Is].
var (
	// ErrNoRepo means that there is no .dvc folder at or above a path.
	ErrNoRepo = errors.New("no DVC repository")
	// ErrPointer means that a .dvc file cannot be used as it is.
	ErrPointer = errors.New("bad DVC pointer")
	// ErrConfig means that the configuration cannot be used as it is.
	ErrConfig = errors.New("bad DVC configuration")
	// ErrModified means that the file in place has changes that are recorded
	// nowhere, and would be lost.
	ErrModified = errors.New("file modified")
	// ErrCorrupt means that an object does not have the digest of its name.
	ErrCorrupt = errors.New("object corrupted")
	// ErrMissing means that neither cache nor remote has the object.
	ErrMissing = errors.New("object missing")
)

// An Error says what is wrong with a file and what to do, on one line.
type Error struct {
	File    string
	Problem string
	Remedy  string
	Kind    error // one of the errors above
}

// Error is "file: problem; remedy".
func (e *Error) Error() string { return e.File + ": " + e.Problem + "; " + e.Remedy }

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }
