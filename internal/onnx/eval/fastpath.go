package eval

import (
	"sync"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/linear"
)

// A fastPath predicts a row without going through the graph's steps: some
// preparation of the row, one model, and what is done to its scores.
type fastPath struct {
	prepare []compile.RowStep
	model   compile.RowModel
	finish  []func(scores []float32)
	scratch sync.Pool
}

func (f *fastPath) predict(row, scores []float32) int {
	if len(f.prepare) > 0 {
		return f.predictPrepared(row, scores)
	}
	class := f.model.Predict(row, scores)
	for _, s := range f.finish {
		s(scores)
	}
	return class
}

func (f *fastPath) predictPrepared(row, scores []float32) int {
	buffer := f.scratch.Get().(*[]float32)
	defer f.scratch.Put(buffer)
	prepared := (*buffer)[:len(row)]
	f.prepare[0].Apply(prepared, row)
	for _, p := range f.prepare[1:] {
		p.Apply(prepared, prepared)
	}
	class := f.model.Predict(prepared, scores)
	for _, s := range f.finish {
		s(scores)
	}
	return class
}

// A batchModel scores many rows better than one by one.
type batchModel interface {
	PredictRows(x []float32, columns, width int, classes []int, scores []float32)
}

// predictRows scores a batch.
func (f *fastPath) predictRows(x []float32, columns, width int, classes []int, scores []float32) {
	batch, ok := f.model.(batchModel)
	if !ok {
		for i := range classes {
			classes[i] = f.predict(x[i*columns:(i+1)*columns], scores[i*width:(i+1)*width])
		}
		return
	}
	if len(f.prepare) > 0 {
		prepared := make([]float32, len(x))
		for i := range classes {
			from, to := x[i*columns:(i+1)*columns], prepared[i*columns:(i+1)*columns]
			for _, p := range f.prepare {
				p.Apply(to, from)
				from = to
			}
		}
		x = prepared
	}
	batch.PredictRows(x, columns, width, classes, scores)
	for i := range classes {
		for _, s := range f.finish {
			s(scores[i*width : (i+1)*width])
		}
	}
}

// findFastPath recognises the common shapes of graph: one matrix of floats that
// is scaled, scored by one model, normalized and zipped. Where the graph has
// another shape, why says so.
func findFastPath(p *Predictor) (fast *fastPath, why string) {
	s := p.session
	switch {
	case len(s.inputs) != 1:
		return nil, "the model has several inputs"
	case s.inputs[0].Type.Element != onnx.Float:
		return nil, "the input is " + s.inputs[0].Type.Element.String() + ", not float"
	case p.layout == layoutColumns:
		return nil, "the scores stand in one output a class"
	case p.lone != notLone:
		return nil, "one score stands for two classes"
	}
	f := &fastPath{}
	scores := s.program.OutputSlots[p.scores[0]]
	model, scorer, why := f.walkScores(s.program, scores)
	if model == nil {
		return nil, why
	}
	if p.layout != layoutValues && (p.label < 0 || !labelFrom(s.program, s.program.OutputSlots[p.label], model)) {
		return nil, "the label does not come from " + model.Label + " as the scores do"
	}
	if slot, why := f.walkRow(s.program, model.Inputs[0]); slot != s.program.InputSlots[0] {
		return nil, why
	}
	f.model = scorer
	f.fuseLinear()
	n := p.NumFeatures()
	f.scratch.New = func() any {
		row := make([]float32, n)
		return &row
	}
	return f, "fast path: " + model.Label
}

// fuseLinear works a scaler into a linear model.
func (f *fastPath) fuseLinear() {
	l, ok := f.model.(*linear.Model)
	if !ok || len(f.prepare) > 1 {
		return
	}
	if len(f.prepare) == 0 {
		f.model = linear.Fuse(l, nil)
	} else if s, ok := f.prepare[0].(*linear.Scaler); ok {
		f.model, f.prepare = linear.Fuse(l, s), nil
	}
}

// walkScores follows the scores back to the model that makes them.
func (f *fastPath) walkScores(p *compile.Program, slot int) (model *compile.Step, scorer compile.RowModel, why string) {
	for {
		s := p.Producer(slot)
		if s == nil {
			return nil, nil, "the scores are an input or a constant"
		}
		switch part := s.Part.(type) {
		case compile.ModelPart:
			if part.Scorer == nil {
				return nil, nil, s.Label + " has no fast path"
			}
			return s, part.Scorer, ""
		case compile.MapsPart:
		case compile.ScorePart:
			f.finish = append([]func([]float32){part.Apply}, f.finish...)
		case compile.CastPart:
			if !part.Same() {
				return nil, nil, s.Label + " changes the type of the scores"
			}
		default:
			return nil, nil, s.Label + " has no fast path"
		}
		slot = s.Inputs[0]
	}
}

// labelFrom says whether the label output is the label of that model, cast to
// its own type at most.
func labelFrom(p *compile.Program, slot int, model *compile.Step) bool {
	for {
		s := p.Producer(slot)
		if s == nil {
			return false
		}
		if s == model {
			return slot == model.Outputs[0]
		}
		if part, ok := s.Part.(compile.CastPart); !ok || !part.Same() {
			return false
		}
		slot = s.Inputs[0]
	}
}

// walkRow follows the model's input back to the graph's.
func (f *fastPath) walkRow(p *compile.Program, slot int) (input int, why string) {
	for {
		s := p.Producer(slot)
		if s == nil {
			return slot, "the model reads a constant"
		}
		switch part := s.Part.(type) {
		case compile.RowPart:
			f.prepare = append([]compile.RowStep{part.Step}, f.prepare...)
		case compile.CastPart:
			if !part.Same() {
				return -1, s.Label + " changes the type of the features"
			}
		default:
			return -1, s.Label + " has no fast path"
		}
		slot = s.Inputs[0]
	}
}
