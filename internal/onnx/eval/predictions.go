package eval

import (
	"fmt"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// describeOutputs finds the outputs, the classes and how many scores there are.
func (p *Predictor) describeOutputs() error {
	if err := p.chooseOutputs(); err != nil {
		return err
	}
	p.width = len(p.scores)
	if p.layout == layoutColumns {
		return p.findLabels()
	}
	p.width = rowWidth(p.session.outputs[p.scores[0]].Type)
	if p.layout == layoutValues {
		p.width = max(1, p.width)
		return nil
	}
	return p.findLabels()
}

// findLabels looks for the classes: in ZipMap, in the classifier, in the
// constant that the label is taken from, in an output that lists them; numbers where
// there is none.
func (p *Predictor) findLabels() error {
	s := p.session
	var found onnx.Labels
	scores := s.outputs[p.scores[0]].Name
	switch {
	case p.layout == layoutMaps:
		producer := s.program.Producer(s.program.OutputSlots[p.scores[0]])
		if producer == nil {
			return onnx.Unsupported("output %q is made by nothing", scores)
		}
		z, ok := producer.Part.(compile.MapsPart)
		if !ok {
			return onnx.Unsupported("output %q holds maps that ZipMap does not make", scores)
		}
		found, p.width = z.Labels, z.Labels.Len()
	case p.label >= 0:
		found = labelsBehind(s.program, s.program.OutputSlots[p.label])
		if found.Len() == 0 {
			found = p.listedLabels()
		}
		if p.width < 1 {
			p.width = found.Len()
		}
	}
	if p.layout == layoutMatrix && p.width == 1 {
		p.chooseLone(&found)
	}
	if n := found.Len(); n > 0 && n != p.width {
		return onnx.Unsupported("output %q has %d columns of scores for %d classes", scores, p.width, n)
	}
	if found.Len() == 0 {
		first := int64(0)
		if p.label >= 0 && s.outputs[p.label].Type.Element == onnx.Uint32 {
			first = 1 // ML.NET counts its keys from 1.
		}
		for i := range p.width {
			found.Ints = append(found.Ints, first+int64(i))
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

// chooseLone is for one score for two classes. Where nothing names them they are
// false and true, or those of a model of one class: −1 for an outlier, and 1.
func (p *Predictor) chooseLone(found *onnx.Labels) {
	switch {
	case found.Len() == 0 && p.isTruth():
		found.Ints = []int64{0, 1}
	case found.Len() == 0:
		found.Ints = []int64{-1, 1}
	case found.Len() != 2:
		return
	}
	p.lone, p.width = loneDecision, 2
	if isProbability(p.session.outputs[p.scores[0]].Name) {
		p.lone = loneShare
	}
}

// isTruth says whether the label is true or false, or made of such by casts.
func (p *Predictor) isTruth() bool {
	slot, _ := p.behindCasts(p.label)
	types := p.session.program.Types
	return types[slot].Element == onnx.Bool || types[p.session.program.OutputSlots[p.label]].Element == onnx.Bool
}

// listedLabels are the classes that an output lists whatever the rows are, as
// skl2onnx writes it when asked for the labels of the classes.
func (p *Predictor) listedLabels() onnx.Labels {
	for i := range p.session.outputs {
		if t, ok := p.session.program.ConstantAt(p.session.program.OutputSlots[i]).(*onnx.Tensor); ok && len(t.Shape) == 1 {
			if l := kernel.LabelsOf(t); l.Len() > 0 {
				p.listed = i
				return l
			}
		}
	}
	return onnx.Labels{}
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
	first := outputs[p.scores[0]]
	switch p.layout {
	case layoutMaps:
		maps, ok := first.(*kernel.ProbabilityMaps)
		if !ok {
			return out, onnx.At(onnx.ErrInput, "output %q holds no maps", p.session.outputs[p.scores[0]].Name)
		}
		out.Scores, err = p.doubles(maps.Scores)
	case layoutColumns:
		out.Scores, err = p.columns(outputs)
	default:
		out.Scores, err = p.doubles(first)
	}
	if err != nil || p.layout == layoutValues {
		return out, err
	}
	if p.lone != notLone {
		out.Scores = bothWays(out.Scores, p.lone)
	}
	if p.label < 0 {
		out.Classes = largest(out.Scores, p.width)
	} else if out.Classes, err = p.classes(outputs[p.label]); err != nil {
		return out, err
	}
	if len(out.Scores) != len(out.Classes)*p.width {
		err = onnx.At(onnx.ErrInput, "%d scores for %d rows of %d classes", len(out.Scores), len(out.Classes), p.width)
	}
	return out, err
}

// largest returns the class with the largest score of each row.
func largest(scores []float64, width int) []int {
	classes := make([]int, len(scores)/width)
	for i := range classes {
		row := scores[i*width : (i+1)*width]
		for k, s := range row {
			if s > row[classes[i]] {
				classes[i] = k
			}
		}
	}
	return classes
}

// bothWays makes scores of two classes of the one score that stands for both.
func bothWays(lone []float64, kind loneScore) []float64 {
	scores := make([]float64, 0, 2*len(lone))
	for _, s := range lone {
		first := -s
		if kind == loneShare {
			first = 1 - s
		}
		scores = append(scores, first, s)
	}
	return scores
}

// columns puts one output a class side by side.
func (p *Predictor) columns(outputs []kernel.Value) ([]float64, error) {
	var scores []float64
	for j, k := range p.scores {
		column, err := p.doubles(outputs[k])
		if err != nil {
			return nil, err
		}
		if scores == nil {
			scores = make([]float64, len(column)*p.width)
		}
		if len(column)*p.width != len(scores) {
			return nil, onnx.At(onnx.ErrInput, "output %q has %d rows", p.session.outputs[k].Name, len(column))
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
