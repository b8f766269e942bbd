package eval

import (
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
)

// A scoreLayout says where a model's outputs hold the scores.
type scoreLayout uint8

const (
	layoutMatrix  scoreLayout = iota // one tensor, a column a class
	layoutMaps                       // ZipMap
	layoutColumns                    // an output a class
	layoutValues                     // a regressor
)

// A lone score is the only one for two classes.
type loneScore uint8

const (
	notLone      loneScore = iota
	loneDecision           // positive where the second class wins
	loneShare              // the probability of the second class
)

// Outputs returns the outputs of the graph that predictions are made of: the label
// and the scores, or the value. A model that gives nothing but the probabilities of
// its classes has a label all the same, that of the largest, which no output of the
// graph holds.
func (p *Predictor) Outputs() []onnx.ValueInfo {
	var chosen []onnx.ValueInfo
	switch {
	case p.label >= 0:
		chosen = append(chosen, p.session.outputs[p.label])
	case p.layout != layoutValues:
		chosen = append(chosen, onnx.ValueInfo{Name: "label", Type: onnx.TensorType(onnx.Int64, onnx.Symbolic(""))})
	}
	for _, i := range p.scores {
		chosen = append(chosen, p.session.outputs[i])
	}
	return chosen
}

// UsedOutputs names the outputs of the graph that predictions need.
func (p *Predictor) UsedOutputs() []string {
	var names []string
	for i, out := range p.session.outputs {
		if i == p.label || slices.Contains(p.scores, i) || i == p.listed {
			names = append(names, out.Name)
		}
	}
	return names
}

// chooseOutputs finds the outputs that predictions are made of, and tells a
// classifier from a regressor. Exporters put other columns beside them: ML.NET all
// that it computes, skl2onnx the labels of the classes or a standard deviation.
func (p *Predictor) chooseOutputs() error {
	if p.chooseNamed() {
		return p.checkLabel()
	}
	outputs := p.session.outputs
	var labels, numbers []int
	for i, out := range outputs {
		switch {
		case len(outputs) > 1 && p.isPassedOn(i):
		case out.Type.Kind == onnx.KindSequence, isFloat(out.Type):
			numbers = append(numbers, i)
		case out.Type.Kind == onnx.KindTensor:
			labels = append(labels, i)
		}
	}
	switch {
	case len(numbers) == 0 && len(labels) == 0:
		return onnx.Unsupported("output %q is %v, a label or numbers wanted that the graph computes", outputs[0].Name, outputs[0].Type)
	case len(numbers) == 0:
		return onnx.Unsupported("the model has a label and no scores")
	case len(labels) == 0:
		return p.chooseNumbers(numbers)
	}
	p.label, p.scores = labels[0], []int{preferred(outputs, numbers)}
	p.layout = layoutMatrix
	if outputs[p.scores[0]].Type.Kind == onnx.KindSequence {
		p.layout = layoutMaps
	} else if p.areColumns(numbers) {
		p.layout, p.scores = layoutColumns, numbers
	}
	return p.checkLabel()
}

// chooseNamed goes by the names that ML.NET gives, where they are there.
func (p *Predictor) chooseNamed() bool {
	label, score, probability := p.named("predictedlabel"), p.named("score"), p.named("probability")
	if score < 0 || label < 0 && strings.EqualFold(p.session.outputs[score].Name, "score") {
		return false
	}
	p.label, p.layout, p.scores = label, layoutMatrix, []int{score}
	switch {
	case label < 0:
		p.layout = layoutValues
	case probability >= 0:
		p.scores[0] = probability
	}
	return isFloat(p.session.outputs[p.scores[0]].Type)
}

// named finds the output of a name, but for what ML.NET puts behind it; −1 where
// there is none.
func (p *Predictor) named(name string) int {
	for i, out := range p.session.outputs {
		short := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(out.Name), ".output"), ".onnx")
		if strings.TrimRight(short, "0123456789") == name {
			return i
		}
	}
	return -1
}

// preferred is the output that is called probabilities, else the first.
func preferred(outputs []onnx.ValueInfo, among []int) int {
	for _, i := range among {
		if isProbability(outputs[i].Name) {
			return i
		}
	}
	return among[0]
}

func isProbability(name string) bool { return strings.Contains(strings.ToLower(name), "prob") }

// chooseNumbers is for a model without a label: a regressor, perhaps with a
// standard deviation beside the value, or one that gives the probabilities of its
// classes and nothing else.
func (p *Predictor) chooseNumbers(numbers []int) error {
	outputs := p.session.outputs
	p.label, p.layout, p.scores = -1, layoutValues, numbers[:1]
	first := outputs[numbers[0]]
	if first.Type.Kind != onnx.KindTensor {
		return onnx.Unsupported("output %q is %v, a label or numbers wanted", first.Name, first.Type)
	}
	if len(numbers) > 2 || len(numbers) == 2 && !isDeviation(outputs[numbers[1]].Name) {
		return onnx.Unsupported("the model has %d outputs of numbers and no label: which of them is the prediction is not known", len(numbers))
	}
	if rowWidth(first.Type) > 1 && (isProbability(first.Name) || p.givesProbabilities(numbers[0])) {
		p.layout = layoutMatrix
	}
	return nil
}

// isDeviation says whether an output holds standard deviations, as that of a
// Gaussian process does.
func isDeviation(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "std") || strings.Contains(name, "cov")
}

// givesProbabilities says whether a softmax makes an output.
func (p *Predictor) givesProbabilities(output int) bool {
	_, step := p.behindCasts(output)
	if step == nil {
		return false
	}
	_, ok := step.Part.(compile.SoftmaxPart)
	return ok
}

// isPassedOn says whether an output is nothing but an input, or a constant.
func (p *Predictor) isPassedOn(output int) bool {
	_, step := p.behindCasts(output)
	return step == nil
}

// behindCasts is the value that an output holds, but for its type, and the step that
// makes it; nil where none does.
func (p *Predictor) behindCasts(output int) (slot int, step *compile.Step) {
	program := p.session.program
	slot = program.OutputSlots[output]
	for range len(program.Steps) + 1 {
		step = program.Producer(slot)
		if step == nil {
			return slot, nil
		}
		if _, ok := step.Part.(compile.CastPart); !ok || step.Inputs[0] < 0 {
			return slot, step
		}
		slot = step.Inputs[0]
	}
	return slot, step
}

// checkLabel refuses labels and scores of other forms than one a row.
func (p *Predictor) checkLabel() error {
	if p.label >= 0 {
		label := p.session.outputs[p.label]
		if w := rowWidth(label.Type); w > 1 {
			return onnx.Unsupported("output %q has %d labels a row; models of one label are served", label.Name, w)
		}
	}
	if t := p.session.outputs[p.scores[0]].Type; p.layout == layoutMatrix && t.Kind != onnx.KindTensor {
		return onnx.Unsupported("output %q is %v, scores wanted", p.session.outputs[p.scores[0]].Name, t)
	}
	return nil
}

// areColumns says whether outputs hold one number a row each, as with one output a
// class.
func (p *Predictor) areColumns(outputs []int) bool {
	for _, i := range outputs {
		if t := p.session.outputs[i].Type; t.Kind != onnx.KindTensor || t.HasShape && rowWidth(t) != 1 {
			return false
		}
	}
	return len(outputs) > 1
}

func isFloat(t onnx.Type) bool {
	return t.Kind == onnx.KindTensor && (t.Element == onnx.Float || t.Element == onnx.Double)
}

// rowWidth returns how many elements a row of a tensor has, −1 where its type does
// not say.
func rowWidth(t onnx.Type) int {
	if !t.HasShape {
		return -1
	}
	width := 1
	for _, d := range t.Shape[min(1, len(t.Shape)):] {
		if d.Size < 0 || width > 1<<30 {
			return -1
		}
		width *= d.Size
	}
	return width
}
