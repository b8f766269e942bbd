package onnx

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with [errors.Is]. What is returned names the
// place and the fault as well.
var (
	// ErrInvalid means that a file is not a well-formed model.
	ErrInvalid = errors.New("invalid model")
	// ErrLimit means that a file or a run asks for more than [Limits] allow.
	ErrLimit = errors.New("over the limit")
	// ErrUnsupported means that a model is well-formed but needs something that
	// this package does not have, such as an operator.
	ErrUnsupported = errors.New("unsupported")
	// ErrInput means that the inputs of a run do not fit the model.
	ErrInput = errors.New("invalid input")
)

// At says where an error happened.
func At(err error, format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}

// Invalid makes an [ErrInvalid] that names the fault.
func Invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Unsupported makes an [ErrUnsupported] that names what is missing.
func Unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}
