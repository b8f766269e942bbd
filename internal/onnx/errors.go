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
	// ErrBusy means that other runs have the memory that [Limits] allow to all: the
	// same run may succeed later.
	ErrBusy = errors.New("no memory left just now")
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

// Limits bound what a model may ask for, when it is read and when it runs. A
// zero field means the default.
type Limits struct {
	// Bytes is the largest file. Default: 512 MiB.
	Bytes int64
	// Memory is the most that a decoded model may take, in bytes, and the most that
	// the values of all runs under way may take beside the inputs. Default: 1 GiB.
	Memory int64
	// Work is the most steps that the constants of a graph may take to compute:
	// elements that are read and made, multiplications of a product of matrices.
	// Default: 2³⁰, about a second.
	Work int64
	// Nodes is the largest number of nodes, subgraphs included. Default: 100,000.
	Nodes int
	// Depth is how deep subgraphs and types may nest. Default: 8.
	Depth int
}

// WithDefaults fills the zero fields.
func (l Limits) WithDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 512 << 20
	}
	if l.Memory <= 0 {
		l.Memory = 1 << 30
	}
	if l.Work <= 0 {
		l.Work = 1 << 30
	}
	if l.Nodes <= 0 {
		l.Nodes = 100_000
	}
	if l.Depth <= 0 {
		l.Depth = 8
	}
	return l
}
