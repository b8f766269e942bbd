// Package model makes one servable model of the files of a model's directory.
//
// [Open] compares the ONNX file with the digest that a registry noted, reads the
// MLmodel file, compiles the graph and tries it. The [Model] knows the names and
// kinds of its features and its labels, checks rows, scores them and explains the
// scores. A row is numbers, or typed cells where the graph takes text, booleans or
// whole numbers too.
package model

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// ErrNotFinite means that the model gave NaN or an infinity for a row whose
// values were all in order.
var ErrNotFinite = errors.New("the model gives no finite answer for this row")

// A Feature is one input of a model, in the order of a row's values.
type Feature struct {
	Name string
	// Type is the column's type in MLflow's spelling, such as "double".
	Type string
	// Kind is what the graph takes here.
	Kind Kind
	// MayBeMissing says that NaN, a missing value, is accepted here: the column
	// had missing values in training, or the graph itself fills them in.
	MayBeMissing bool
	// Categories are the texts that training knew of a category, sorted; of a
	// boolean that for false and that for true. Nil for other columns.
	Categories []string
	Boolean    bool

	known map[string]struct{} // what of texts is no unseen category
}

// Info says what a model is, as its own files tell it. Facts that they do not
// carry are zero.
type Info struct {
	RunID             string
	TrainedAt         time.Time
	Estimator         string
	Features          []Feature
	Metrics           map[string]float64
	DataPath, DataMD5 string
	SHA256            string // of the ONNX file, lower-case hex
	// Example holds rows that the model's maker gave as examples of its input,
	// in the order of Features; often there is none.
	Example [][]Cell
}

// A Model is compiled and ready to answer. It never changes, and all its methods
// are safe for concurrent use.
type Model struct {
	info    Info
	session *eval.Session
	columns []eval.Feature
	// predictor is nil where the outputs are not those of a classifier or a
	// regressor; refusal says why.
	predictor *eval.Predictor
	refusal   error
	named     bool      // see IsNamed
	typed     bool      // see IsTyped
	rows      sync.Pool // *[]float32, one value a feature
	rowCost   time.Duration
	parts     func() (*eval.Parts, error) // made when first asked for
}

// Info returns the facts about the model. The slices and maps in it are shared:
// they must not be changed.
func (m *Model) Info() *Info { return &m.info }

// IsNamed says whether the names of the features mean something; else rows are
// read by position.
func (m *Model) IsNamed() bool { return m.named }

// Session returns the compiled graph.
func (m *Model) Session() *eval.Session { return m.session }

// Predictor sees the graph as a classifier or a regressor; the error says why it
// is none, which only [OpenOffline] lets pass.
func (m *Model) Predictor() (*eval.Predictor, error) { return m.predictor, m.refusal }

// Labels returns the classes, in the order of the scores. A regressor has none.
func (m *Model) Labels() onnx.Labels { return m.predictor.Labels() }

// NumScores returns how many numbers [Model.Predict] gives: one a class, or the
// one value of a regressor.
func (m *Model) NumScores() int { return m.predictor.NumScores() }

// Predict computes the score of each class for one row and returns the index of
// the predicted class; for a regressor, the value and 0. Row has one value a
// feature, in the order of [Info.Features]; NaN is a missing value. Scores has
// [Model.NumScores] places, in the order of [Model.Labels], and is filled.
//
// A row that does not fit the model is an [*InputError]. Where the scores are
// not finite the error is [ErrNotFinite].
func (m *Model) Predict(row []float64, scores []float32) (int, error) {
	if err := m.Check(row); err != nil {
		return 0, err
	}
	return m.run(row, scores)
}

// PredictRows is [Model.Predict] for many rows, one after another in x, which
// [Model.Check] would accept: values beyond float32 have been refused before they
// were narrowed. Classes has a place a row, scores [Model.NumScores] a row.
// Large batches use all processors. With [ErrNotFinite] comes the index of the
// row; rows that the graph itself refuses are an [*InputError].
func (m *Model) PredictRows(x []float32, classes []int, scores []float32) (int, error) {
	if err := m.predictor.PredictRows(x, classes, scores); err != nil {
		return 0, predictError(err)
	}
	return firstNotFinite(scores, m.NumScores())
}

// firstNotFinite returns [ErrNotFinite] with the first row that has such a score.
func firstNotFinite(scores []float32, width int) (int, error) {
	for i, s := range scores {
		if s-s != 0 {
			return i / width, ErrNotFinite
		}
	}
	return 0, nil
}

// RowCost is about what the evaluation of one row costs a processor, as measured
// when the model was loaded. Rows of a large batch cost less.
func (m *Model) RowCost() time.Duration { return m.rowCost }

// Outputs returns the outputs that predictions are made of: a label and scores, or
// a value. Where the model is none that can be served they are all of the graph's.
func (m *Model) Outputs() []onnx.ValueInfo {
	if m.predictor == nil {
		return m.session.Outputs()
	}
	return m.predictor.Outputs()
}

// Check says whether [Model.Predict] would accept the row; the error is an
// [*InputError].
func (m *Model) Check(row []float64) error {
	if len(row) != len(m.info.Features) {
		return &InputError{Column: -1, Fault: WrongWidth, Got: len(row), Want: len(m.info.Features)}
	}
	for i, v := range row {
		if m.typed {
			if err := m.CheckCell(i, Cell{Number: v}); err != nil {
				return err
			}
			continue
		}
		switch {
		case v != v:
			if !m.info.Features[i].MayBeMissing {
				return &InputError{Column: i, Name: m.info.Features[i].Name, Fault: MissingValue}
			}
		case math.IsInf(float64(float32(v)), 0): // 3.4028235e38 rounds to the largest
			return &InputError{Column: i, Name: m.info.Features[i].Name, Fault: OutOfRange}
		}
	}
	return nil
}

// run evaluates a row that was checked.
func (m *Model) run(row []float64, scores []float32) (int, error) {
	if m.typed {
		cells := make([]Cell, len(row))
		for i, v := range row {
			cells[i].Number = v
		}
		return m.runCells(cells, scores)
	}
	narrow, _ := m.rows.Get().(*[]float32)
	if narrow == nil {
		narrow = new([]float32)
		*narrow = make([]float32, len(row))
	}
	defer m.rows.Put(narrow)
	for i, v := range row {
		(*narrow)[i] = float32(v)
	}
	class, err := m.predictor.PredictRow(*narrow, scores)
	if err != nil {
		return 0, predictError(err)
	}
	_, err = firstNotFinite(scores, len(scores))
	return class, err
}

// runNumbers evaluates a row of numbers that was checked.
func (m *Model) runNumbers(row []Cell, scores []float32) (int, error) {
	numbers := make([]float64, len(row))
	for i, c := range row {
		numbers[i] = c.Number
	}
	return m.run(numbers, scores)
}

// runCells evaluates a row that was checked.
func (m *Model) runCells(row []Cell, scores []float32) (int, error) {
	t, err := m.NewTable(1)
	if err != nil {
		return 0, err
	}
	for i, c := range row {
		if err := t.Set(0, i, c); err != nil {
			return 0, err
		}
	}
	class := make([]int, 1)
	_, err = m.PredictTable(t, class, scores)
	return class[0], err
}

// A Fault is the kind of an [InputError].
type Fault int

// What may be wrong with a row.
const (
	WrongWidth   Fault = iota // too few or too many values
	MissingValue              // NaN where the model knows no missing values
	OutOfRange                // beyond ±MaxFloat32, or what the column's type holds
	WrongKind                 // such as text where a number is wanted
	Refused                   // by the graph, when it ran
)

// An InputError says why a row does not fit the model.
type InputError struct {
	Column    int    // index into the row; -1 for the row as a whole
	Name      string // of the feature; empty for the row as a whole
	Fault     Fault
	Got, Want int   // numbers of values, for WrongWidth
	Kind      Kind  // of the column
	Given     Kind  // of the cell, for WrongKind
	Err       error // what the graph says, for Refused
}

// Error describes the fault in words for whoever sent the row.
func (e *InputError) Error() string {
	if e.Column < 0 {
		return e.Problem()
	}
	return fmt.Sprintf("feature %q: %s", e.Name, e.Problem())
}

// Unwrap returns what the graph says.
func (e *InputError) Unwrap() error { return e.Err }

// Problem is the fault without the feature's name.
func (e *InputError) Problem() string {
	switch e.Fault {
	case WrongWidth:
		return fmt.Sprintf("the model takes %d values a row, not %d", e.Want, e.Got)
	case MissingValue:
		return e.Kind.String() + " is expected, not null"
	case WrongKind:
		given := map[Kind]string{Number: "a number", Boolean: "a boolean", Text: "a string"}[e.Given]
		if e.Kind == Whole && e.Given == Number {
			given = "a fraction"
		}
		return e.Kind.String() + " is expected, not " + given
	case Refused:
		return "the model takes no such row: " + e.Err.Error()
	default:
		if e.Kind == Whole {
			return "the whole number is out of range"
		}
		return "the number is out of range; a 32-bit float must hold it (at most " +
			strconv.FormatFloat(math.MaxFloat32, 'g', 8, 64) + " in size)"
	}
}
