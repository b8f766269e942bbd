package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"sync"
)

// A fastPath predicts a row without going through the graph's steps: some
// preparation of the row, one model, and what is done to its scores.
type fastPath struct {
	prepare []preparer
	model   rowModel
	finish  []finisher
	scratch sync.Pool
}

// A preparer changes a row before the model sees it.
type preparer interface{ apply(out, row []float32) }

// A rowModel scores one row and returns its class, 0 for a regressor.
type rowModel interface {
	predict(row, scores []float32) int
}

// A finisher changes the scores in place.
type finisher interface{ apply(scores []float32) }

func (f *fastPath) predict(row, scores []float32) int {
	if len(f.prepare) > 0 {
		return f.predictPrepared(row, scores)
	}
	class := f.model.predict(row, scores)
	for _, s := range f.finish {
		s.apply(scores)
	}
	return class
}

func (f *fastPath) predictPrepared(row, scores []float32) int {
	buffer := f.scratch.Get().(*[]float32)
	defer f.scratch.Put(buffer)
	prepared := (*buffer)[:len(row)]
	f.prepare[0].apply(prepared, row)
	for _, p := range f.prepare[1:] {
		p.apply(prepared, prepared)
	}
	class := f.model.predict(prepared, scores)
	for _, s := range f.finish {
		s.apply(scores)
	}
	return class
}

// A batchModel scores many rows better than one by one.
type batchModel interface {
	predictRows(x []float32, columns, width int, classes []int, scores []float32)
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
				p.apply(to, from)
				from = to
			}
		}
		x = prepared
	}
	batch.predictRows(x, columns, width, classes, scores)
	for i := range classes {
		for _, s := range f.finish {
			s.apply(scores[i*width : (i+1)*width])
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
	case p.single:
		return nil, "one score stands for two classes"
	}
	f := &fastPath{}
	scores := s.outputSlots[len(s.outputSlots)-1]
	model, why := f.walkScores(&s.program, scores)
	if model == nil {
		return nil, why
	}
	if p.layout != layoutValues && !s.labelFrom(s.outputSlots[0], model) {
		return nil, "the label does not come from " + model.label + " as the scores do"
	}
	if slot, why := f.walkRow(&s.program, model.inputs[0]); slot != s.inputSlots[0] {
		return nil, why
	}
	f.model = model.part.(rowModel)
	f.fuseLinear()
	n := p.NumFeatures()
	f.scratch.New = func() any {
		row := make([]float32, n)
		return &row
	}
	return f, "fast path: " + model.label
}

// fuseLinear works a scaler into a linear model.
func (f *fastPath) fuseLinear() {
	l, ok := f.model.(*linear)
	if !ok || len(f.prepare) > 1 {
		return
	}
	if len(f.prepare) == 0 {
		f.model = fuse(l, nil)
	} else if s, ok := f.prepare[0].(*scaler); ok {
		f.model, f.prepare = fuse(l, s), nil
	}
}

// walkScores follows the scores back to the model that makes them.
func (f *fastPath) walkScores(p *program, slot int) (model *step, why string) {
	for {
		s := p.producer(slot)
		if s == nil {
			return nil, "the scores are an input or a constant"
		}
		switch part := s.part.(type) {
		case rowModel:
			return s, ""
		case zipMap, identity:
		case normalizer:
			f.finish = append([]finisher{part}, f.finish...)
		case cast:
			if part.from != onnx.Float || part.to != onnx.Float {
				return nil, s.label + " changes the type of the scores"
			}
		default:
			return nil, s.label + " has no fast path"
		}
		slot = s.inputs[0]
	}
}

// labelFrom says whether the label output is the label of that model, cast to
// its own type at most.
func (p *program) labelFrom(slot int, model *step) bool {
	for {
		s := p.producer(slot)
		if s == nil {
			return false
		}
		if s == model {
			return slot == model.outputs[0]
		}
		switch part := s.part.(type) {
		case identity:
		case cast:
			if part.from != part.to {
				return false
			}
		default:
			return false
		}
		slot = s.inputs[0]
	}
}

// walkRow follows the model's input back to the graph's.
func (f *fastPath) walkRow(p *program, slot int) (input int, why string) {
	for {
		s := p.producer(slot)
		if s == nil {
			return slot, "the model reads a constant"
		}
		switch part := s.part.(type) {
		case identity:
		case *scaler:
			f.prepare = append([]preparer{part}, f.prepare...)
		case *imputer[float32]:
			f.prepare = append([]preparer{part}, f.prepare...)
		case cast:
			if part.from != onnx.Float || part.to != onnx.Float {
				return -1, s.label + " changes the type of the features"
			}
		default:
			return -1, s.label + " has no fast path"
		}
		slot = s.inputs[0]
	}
}
