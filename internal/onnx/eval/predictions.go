package eval

import (
	"fmt"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// A scoreLayout says where a model's outputs hold the scores.
type scoreLayout uint8

const (
	layoutMatrix  scoreLayout = iota // one tensor, a column a class
	layoutMaps                       // ZipMap
	layoutColumns                    // an output a class
	layoutValues                     // a regressor: the first output
)

// describeOutputs tells a classifier from a regressor, and finds its classes.
func (p *Predictor) describeOutputs() error {
	outputs := p.session.outputs
	first := outputs[0].Type
	if first.Kind != onnx.KindTensor {
		return onnx.Unsupported("output %q is %v, a label or numbers wanted", outputs[0].Name, first)
	}
	if len(outputs) == 1 && (first.Element == onnx.Float || first.Element == onnx.Double) {
		p.layout = layoutValues
		p.width = max(1, lastDim(first))
		if len(first.Shape) < 2 {
			p.width = 1
		}
		return nil
	}
	if first.Element != onnx.Int64 && first.Element != onnx.String && first.Element != onnx.Int32 && first.Element != onnx.Bool {
		return onnx.Unsupported("output %q is %v, a label wanted", outputs[0].Name, first)
	}
	if len(outputs) == 1 {
		return onnx.Unsupported("the model has a label and no scores")
	}
	switch second := outputs[1].Type; {
	case len(outputs) > 2 && second.Kind == onnx.KindTensor:
		p.layout, p.width = layoutColumns, len(outputs)-1
	case second.Kind == onnx.KindSequence:
		p.layout = layoutMaps
	case second.Kind == onnx.KindTensor && (second.Element == onnx.Float || second.Element == onnx.Double):
		p.layout, p.width = layoutMatrix, lastDim(second)
	default:
		return onnx.Unsupported("output %q is %v, scores wanted", outputs[1].Name, second)
	}
	return p.findLabels()
}

func lastDim(t onnx.Type) int {
	if !t.HasShape || len(t.Shape) == 0 {
		return -1
	}
	return t.Shape[len(t.Shape)-1].Size
}

// findLabels looks for the classes: in ZipMap, in the classifier, in the
// constant that the label is taken from; indices where there is none.
func (p *Predictor) findLabels() error {
	s := p.session
	var found onnx.Labels
	if p.layout == layoutMaps {
		producer := s.program.Producer(s.program.OutputSlots[1])
		if producer == nil {
			return onnx.Unsupported("output %q is made by nothing", s.outputs[1].Name)
		}
		z, ok := producer.Part.(compile.MapsPart)
		if !ok {
			return onnx.Unsupported("output %q holds maps that ZipMap does not make", s.outputs[1].Name)
		}
		found, p.width = z.Labels, z.Labels.Len()
	} else {
		found = labelsBehind(s.program, s.program.OutputSlots[0])
		if p.width < 1 {
			p.width = found.Len()
		}
	}
	if p.layout == layoutMatrix && p.width == 1 && found.Len() == 2 {
		p.single, p.width = true, 2
	}
	if n := found.Len(); n > 0 && n != p.width {
		return onnx.Unsupported("output %q has %d columns of scores for %d classes", s.outputs[1].Name, p.width, n)
	}
	if found.Len() == 0 {
		for i := range p.width {
			found.Ints = append(found.Ints, int64(i))
		}
	}
	if found.Len() == 0 {
		return onnx.Unsupported("the number of classes is not known")
	}
	p.labels = found
	p.indices = make(map[any]int, found.Len())
	for i := range found.Len() {
		if _, twice := p.indices[found.Value(i)]; !twice {
			p.indices[found.Value(i)] = i
		}
	}
	return nil
}

// labelsBehind follows a label output back to what it takes its values from.
func labelsBehind(p *compile.Program, slot int) onnx.Labels {
	for range len(p.Steps) {
		s := p.Producer(slot)
		if s == nil {
			return onnx.Labels{}
		}
		switch part := s.Part.(type) {
		case compile.ModelPart:
			return part.Labels
		case compile.LookupPart:
			return part.Labels
		case compile.ChoicePart:
			t, ok := p.ConstantAt(s.Inputs[0]).(*onnx.Tensor)
			if !ok {
				return onnx.Labels{}
			}
			return kernel.LabelsOf(t)
		}
		if len(s.Inputs) == 0 || s.Inputs[0] < 0 {
			return onnx.Labels{}
		}
		slot = s.Inputs[0]
	}
	return onnx.Labels{}
}

// read takes classes and scores from the outputs of a run.
func (p *Predictor) read(outputs []kernel.Value) (Predictions, error) {
	var out Predictions
	var err error
	if p.layout == layoutValues {
		out.Scores, err = p.doubles(outputs[0])
		return out, err
	}
	if out.Classes, err = p.classes(outputs[0]); err != nil {
		return out, err
	}
	switch p.layout {
	case layoutMaps:
		maps, ok := outputs[1].(*kernel.ProbabilityMaps)
		if !ok {
			return out, onnx.At(onnx.ErrInput, "output %q holds no maps", p.session.outputs[1].Name)
		}
		out.Scores, err = p.doubles(maps.Scores)
	case layoutColumns:
		out.Scores, err = p.columns(outputs[1:])
	default:
		out.Scores, err = p.doubles(outputs[1])
	}
	if p.single {
		out.Scores = bothWays(out.Scores)
	}
	if err == nil && len(out.Scores) != len(out.Classes)*p.width {
		err = onnx.At(onnx.ErrInput, "%d scores for %d rows of %d classes", len(out.Scores), len(out.Classes), p.width)
	}
	return out, err
}

// bothWays makes scores of two classes of decision scores, which are positive
// where the second class wins.
func bothWays(decisions []float64) []float64 {
	scores := make([]float64, 0, 2*len(decisions))
	for _, s := range decisions {
		scores = append(scores, -s, s)
	}
	return scores
}

// columns puts one output a class side by side.
func (p *Predictor) columns(outputs []kernel.Value) ([]float64, error) {
	var scores []float64
	for j, v := range outputs {
		column, err := p.doubles(v)
		if err != nil {
			return nil, err
		}
		if scores == nil {
			scores = make([]float64, len(column)*p.width)
		}
		if len(column)*p.width != len(scores) {
			return nil, onnx.At(onnx.ErrInput, "output %q has %d rows", p.session.outputs[j+1].Name, len(column))
		}
		for i, s := range column {
			scores[i*p.width+j] = s
		}
	}
	return scores, nil
}

func (p *Predictor) doubles(v kernel.Value) ([]float64, error) {
	t, err := kernel.TensorOf(v)
	if err != nil {
		return nil, err
	}
	d, err := kernel.CastTensor(kernel.NewEnv(p.session.limits.Memory), t, onnx.Double)
	if err != nil {
		return nil, err
	}
	return d.Data.([]float64), nil
}

// classes turns the labels of a batch into indices.
func (p *Predictor) classes(v kernel.Value) ([]int, error) {
	t, err := kernel.TensorOf(v)
	if err != nil {
		return nil, err
	}
	classes := make([]int, t.DataLen())
	texts, isText := t.Data.([]string)
	if !isText {
		if t, err = kernel.CastTensor(kernel.NewEnv(p.session.limits.Memory), t, onnx.Int64); err != nil {
			return nil, err
		}
	}
	for i := range classes {
		var label any
		if isText {
			label = texts[i]
		} else {
			label = t.Data.([]int64)[i]
		}
		class, ok := p.indices[label]
		if n, isInt := label.(int64); !ok && isInt {
			// The label and the scores may speak of classes in different ways:
			// numbers here, text there.
			if class, ok = p.indices[strconv.FormatInt(n, 10)]; !ok && n >= 0 && n < int64(p.width) {
				class, ok = int(n), true
			}
		}
		if !ok {
			return nil, onnx.At(onnx.ErrInput, "the model's label %.40q is none of its classes", fmt.Sprint(label))
		}
		classes[i] = class
	}
	return classes, nil
}
