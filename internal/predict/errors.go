package predict

import (
	"errors"
	"fmt"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/rows"
)

// Errors that are not about the input.
var (
	// ErrNotReady means that no model is loaded yet.
	ErrNotReady = errors.New("no model is loaded yet")
	// ErrNoAccounts means that the database of the users has not been reached yet.
	ErrNoAccounts = errors.New("the database of the users is not reached yet")
	// ErrStopping means that new requests should go elsewhere.
	ErrStopping = errors.New("this server is about to stop")
	// ErrOverloaded refuses work that could not be done in time, or for which
	// there is no memory just now. Trying again shortly may help.
	ErrOverloaded = errors.New("there is more work than can be done in time; try again shortly, or with fewer rows")
	// ErrTooLarge refuses work that takes more memory than all requests together
	// may have. Trying again does not help.
	ErrTooLarge = errors.New("this takes more memory than there is for requests; send fewer rows at once")
)

// A NotFoundError means that another model or version serves.
type NotFoundError struct{ Name, Version string } // what does serve

// Error names what serves.
func (e *NotFoundError) Error() string {
	return "this server has no such model or version; it serves " + e.Name + ", version " + e.Version
}

// A Reason is why an input was refused; it is a label of
// model_rejected_inputs_total. Package rows has those that a text may have.
type Reason = rows.Reason

// The reasons that need a model.
const (
	UnknownKey Reason = "unknown_key"
	NotFinite  Reason = "not_finite"
	// Unexplained is no fault of the row: the model cannot be explained.
	Unexplained Reason = "unexplained"
	Refused     Reason = "refused" // by the graph, such as a category that it does not know
)

var reasons = []Reason{
	rows.Malformed, UnknownKey, rows.MissingKey, rows.WrongType, rows.MissingValue, rows.OutOfRange, rows.WrongWidth,
	NotFinite, Unexplained, Refused,
}

// An InputError says which value or row does not fit the model, and why. The
// message does not repeat what was sent.
type InputError struct {
	Reason  Reason
	Row     int    // from 0; -1 for all rows together
	Column  int    // of the model's features; -1 for the row as a whole
	Feature string // the column's name; empty for the row as a whole
	// ByName says that the row was given by name rather than by position.
	ByName  bool
	Message string
}

// Error gives place and message.
func (e *InputError) Error() string {
	switch {
	case e.Row < 0:
		return e.Message
	case e.Column < 0:
		return fmt.Sprintf("row %d: %s", e.Row, e.Message)
	default:
		return fmt.Sprintf("row %d, column %d: %s", e.Row, e.Column, e.Message)
	}
}

// faultReasons are the reasons of the model's faults.
var faultReasons = map[model.Fault]Reason{
	model.WrongWidth: rows.WrongWidth, model.MissingValue: rows.MissingValue, model.WrongKind: rows.WrongType,
	model.OutOfRange: rows.OutOfRange, model.Refused: Refused,
}

// inputError turns what the model says of a row into an [*InputError], and what it
// says of memory into [ErrTooLarge] or [ErrOverloaded]. Errors that are not about the
// input stay as they are.
func inputError(err error, row int, byName bool) error {
	var in *model.InputError
	switch {
	case errors.Is(err, model.ErrNotFinite):
		return &InputError{Reason: NotFinite, Row: row, Column: -1, Message: err.Error()}
	case errors.Is(err, onnx.ErrLimit): // the graph makes more of the rows than they have bytes
		return ErrTooLarge
	case errors.Is(err, onnx.ErrBusy):
		return ErrOverloaded
	case errors.As(err, &in):
		return &InputError{Reason: faultReasons[in.Fault], Row: row, Column: in.Column, Feature: in.Name, ByName: byName, Message: in.Problem()}
	default:
		return err
	}
}
