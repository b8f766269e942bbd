package eval

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A Predictor sees a session as a model of rows: a classifier, of which one output
// is a label and others hold a score a class, or a regressor, whose output is
// numbers. It is safe for concurrent use.
type Predictor struct {
	session  *Session
	features []Feature
	labels   onnx.Labels
	indices  map[any]int // from label to class
	width    int         // scores a row
	label    int         // the output that holds the label, −1 where none does
	scores   []int       // the outputs that hold the scores, or the value
	listed   int         // the output that lists the classes, −1 where none is needed
	layout   scoreLayout
	lone     loneScore
	fast     *fastPath
	verdict  string
}

// A Feature is one column of a row, as the graph's inputs have it.
type Feature struct {
	Name   string // the input's name where the input has one column, else "f0", "f1", …
	Input  string // the graph's input
	Column int    // the column of that input
	Type   onnx.ElementType
}

// Predictions are what a model says of a batch.
type Predictions struct {
	// Classes holds one index into [Predictor.Labels] a row; nil for a
	// regressor.
	Classes []int
	// Scores holds [Predictor.NumScores] numbers a row: what the graph gives
	// by class (probabilities, or decision scores), or a regressor's values.
	// One decision score s for two classes, as LinearSVC has it, becomes −s, s,
	// and one probability p becomes 1−p, p.
	Scores []float64
}

// NewPredictor finds out what a session predicts. Scores may stand in ZipMap's
// maps, in a matrix with a column a class, or in one output a class.
//
// A model whose inputs or outputs have another form is refused with
// [ErrUnsupported].
func NewPredictor(s *Session) (*Predictor, error) {
	p := &Predictor{session: s, listed: -1}
	var err error
	if p.features, err = s.Features(); err != nil {
		return nil, err
	}
	if err := p.describeOutputs(); err != nil {
		return nil, fmt.Errorf("use model for predictions: %w", err)
	}
	p.fast, p.verdict = findFastPath(p)
	return p, nil
}

// Session returns the session that the predictor uses.
func (p *Predictor) Session() *Session { return p.session }

// Features describes the columns of a row, in order.
func (p *Predictor) Features() []Feature { return p.features }

// NumFeatures returns the number of columns of a row.
func (p *Predictor) NumFeatures() int { return len(p.features) }

// Labels returns the classes, in the order of the scores. A regressor has none.
func (p *Predictor) Labels() onnx.Labels { return p.labels }

// IsRegressor says whether the model predicts numbers in place of a class.
func (p *Predictor) IsRegressor() bool { return p.labels.Len() == 0 }

// NumScores returns how many numbers a row gets: one a class, or a regressor's
// targets.
func (p *Predictor) NumScores() int { return p.width }

// FastPath says whether rows take the path without allocation; where not, why
// says what stands in the way.
func (p *Predictor) FastPath() (fast bool, why string) { return p.fast != nil, p.verdict }

// PredictRow scores one row of [Predictor.NumFeatures] numbers into scores,
// which has room for [Predictor.NumScores], and returns the index of the class
// that the model's label output names, 0 for a regressor. NaN stands for a
// missing value. Columns of other number types are converted.
//
// On the fast path it allocates nothing and takes no lock.
func (p *Predictor) PredictRow(row, scores []float32) (class int, err error) {
	if len(row) != len(p.features) {
		return 0, onnx.At(onnx.ErrInput, "%d features given, %d wanted", len(row), len(p.features))
	}
	if len(scores) != p.width {
		return 0, onnx.At(onnx.ErrInput, "room for %d scores given, %d wanted", len(scores), p.width)
	}
	if p.fast != nil {
		return p.fast.predict(row, scores), nil
	}
	inputs, err := p.split(row, 1)
	if err != nil {
		return 0, err
	}
	out, err := p.Predict(inputs)
	if err != nil {
		return 0, err
	}
	for i := range scores {
		scores[i] = float32(out.Scores[i])
	}
	if out.Classes == nil {
		return 0, nil
	}
	return out.Classes[0], nil
}

// split distributes rows of numbers over the graph's inputs.
func (p *Predictor) split(x []float32, rows int) (map[string]kernel.Value, error) {
	inputs := make(map[string]kernel.Value, len(p.session.inputs))
	e := kernel.NewEnv(p.session.limits.Memory)
	first := 0
	for _, in := range p.session.inputs {
		width := 0
		for first+width < len(p.features) && p.features[first+width].Input == in.Name {
			width++
		}
		data := make([]float32, 0, rows*width)
		for i := range rows {
			data = append(data, x[i*len(p.features)+first:][:width]...)
		}
		t := &onnx.Tensor{Shape: []int{rows, width}, Data: data}
		if in.Type.HasShape && len(in.Type.Shape) == 1 {
			t.Shape = []int{rows}
		}
		if in.Type.Element == onnx.String {
			return nil, onnx.At(onnx.ErrInput, "input %q takes text", in.Name)
		}
		cast, err := kernel.CastTensor(e, t, in.Type.Element)
		if err != nil {
			return nil, onnx.At(err, "input %q", in.Name)
		}
		inputs[in.Name] = cast
		first += width
	}
	return inputs, nil
}

// Predict scores a batch that is given by the graph's inputs; each has as many
// rows. A model that does not answer row by row is [ErrNotByRow].
func (p *Predictor) Predict(inputs map[string]kernel.Value) (Predictions, error) {
	outputs, err := p.session.Run(inputs)
	if err != nil {
		return Predictions{}, err
	}
	out, err := p.read(outputs)
	if err != nil {
		return out, err
	}
	return out, p.checkAnswers(out, inputs[p.session.inputs[0].Name])
}

// ErrNotByRow means that a model's outputs do not hold one answer a row, in the
// order of the rows.
var ErrNotByRow = errors.New("the model does not answer row by row")

// checkAnswers compares the number of answers with that of the rows of an input.
func (p *Predictor) checkAnswers(out Predictions, input kernel.Value) error {
	t, ok := input.(*onnx.Tensor)
	if !ok || len(t.Shape) == 0 {
		return nil
	}
	rows, outputs := t.Shape[0], p.Outputs()
	if out.Classes != nil && len(out.Classes) != rows {
		return fmt.Errorf("%w: output %.40q holds %d labels for %d rows", ErrNotByRow, outputs[0].Name, len(out.Classes), rows)
	}
	if len(out.Scores) != rows*p.width {
		return fmt.Errorf("%w: output %.40q holds %d numbers for %d rows of %d",
			ErrNotByRow, outputs[len(outputs)-1].Name, len(out.Scores), rows, p.width)
	}
	return nil
}

// maxFeatures bounds the columns of a row: a name of each is kept, shown and looked
// up, and a file of some bytes can ask for billions.
const maxFeatures = 100_000

// Features describes the columns of a row, in the order of the inputs. Inputs
// that are no columns are refused with [ErrUnsupported].
func (s *Session) Features() ([]Feature, error) {
	var features []Feature
	for i, in := range s.inputs {
		width, err := s.widthOf(i)
		if err == nil && width > maxFeatures-len(features) {
			err = onnx.At(onnx.ErrLimit, "input %.40q has %d columns, rows of %d at most are served", in.Name, width, maxFeatures)
		}
		if err != nil {
			return nil, fmt.Errorf("use model for predictions: %w", err)
		}
		for column := range width {
			name := in.Name
			if width > 1 || len(s.inputs) == 1 {
				name = "f" + strconv.Itoa(len(features))
			}
			features = append(features, Feature{Name: name, Input: in.Name, Column: column, Type: in.Type.Element})
		}
	}
	if len(features) == 0 {
		return nil, fmt.Errorf("use model for predictions: %w", onnx.Unsupported("the model has no inputs"))
	}
	return features, nil
}

// widthOf returns the number of columns of an input.
func (s *Session) widthOf(input int) (int, error) {
	in := s.inputs[input]
	t := in.Type
	if t.Kind != onnx.KindTensor || !t.Element.Known() {
		return 0, onnx.Unsupported("input %q is %v, a tensor of numbers or strings wanted", in.Name, t)
	}
	width := -1
	switch {
	case t.HasShape && len(t.Shape) == 2:
		width = t.Shape[1].Size
	case t.HasShape && len(t.Shape) == 1:
		width = 1
	}
	if width < 0 && len(s.inputs) == 1 {
		width = columnsOf(s.program, s.program.InputSlots[0])
	}
	if width < 0 {
		return 0, onnx.Unsupported("input %q is %v, a matrix with a known number of columns wanted", in.Name, t)
	}
	return width, nil
}

// columnsOf finds the number of columns of a matrix by what the operators that
// read it, cast or not, expect; −1 where none says. The steps of a program stand in
// order: whoever reads a value comes behind who makes it.
func columnsOf(p *compile.Program, slot int) int {
	same := map[int]bool{slot: true}
	for i := range p.Steps {
		s := &p.Steps[i]
		if len(s.Inputs) != 1 || !same[s.Inputs[0]] {
			continue
		}
		columns := 0
		switch part := s.Part.(type) {
		case compile.ModelPart:
			columns = part.Columns
		case compile.RowPart:
			columns = part.Columns
		case compile.CastPart:
			same[s.Outputs[0]] = true
		}
		if columns > 0 {
			return columns
		}
	}
	return -1
}

// PredictRows scores a batch of rows, one after another in x. classes gets one
// index a row (it is left alone by a regressor), scores [Predictor.NumScores]
// numbers a row. Large batches use several processors.
func (p *Predictor) PredictRows(x []float32, classes []int, scores []float32) error {
	n := len(classes)
	if len(x) != n*len(p.features) || len(scores) != n*p.width {
		return onnx.At(onnx.ErrInput, "%d numbers and room for %d scores given for %d rows of %d features and %d scores",
			len(x), len(scores), n, len(p.features), p.width)
	}
	if p.fast != nil {
		p.fast.predictRows(x, len(p.features), p.width, classes, scores)
		return nil
	}
	inputs, err := p.split(x, n)
	if err != nil {
		return err
	}
	out, err := p.Predict(inputs)
	if err != nil {
		return err
	}
	copy(classes, out.Classes)
	numeric.Convert(scores, out.Scores)
	return nil
}
