package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/linear"
	"github.com/petal-ml/petal/internal/onnx/eval/trees"
)

// Parts are a model taken apart: steps that keep features apart (Imputer, Scaler),
// and what sums up the scores behind them. Parts never change and are safe for
// concurrent use.
type Parts struct {
	// Linear or Trees is set.
	Linear *linear.Model
	Trees  *trees.Paths
	// Classes is 0 for a regressor. Targets is the number of scores that are summed
	// up; it is 1 where two classes share one, that of the second.
	Classes, Targets int
	// Complement says that the one score of two classes is a share: the first class
	// has what is left of 1, and not the negative score.
	Complement bool

	steps []compile.RowStep
}

// Parts takes the model apart. A graph that begins in another way than with steps
// that keep features apart and one linear model or ensemble of trees is refused
// with [onnx.ErrUnsupported].
func (s *Session) Parts() (*Parts, error) {
	if len(s.inputs) != 1 {
		return nil, onnx.Unsupported("%d inputs", len(s.inputs))
	}
	p := &Parts{}
	for slot := s.program.InputSlots[0]; ; {
		step := s.program.Consumer(slot)
		if step == nil {
			return nil, onnx.Unsupported("a value that several operators read, or none")
		}
		switch part := step.Part.(type) {
		case compile.RowPart:
			p.steps = append(p.steps, part.Step)
		case compile.ModelPart:
			return p, p.use(part, s.program, step)
		default:
			return nil, onnx.Unsupported("%s, which is neither linear nor made of trees", step.Label)
		}
		slot = step.Outputs[0]
	}
}

// use takes over the model of a step.
func (p *Parts) use(part compile.ModelPart, program *compile.Program, step *compile.Step) (err error) {
	p.Classes = part.Labels.Len()
	switch m := part.Scorer.(type) {
	case *linear.Model:
		p.Linear, p.Targets = m, m.Targets()
	case *trees.Model:
		if p.Trees, err = trees.NewPaths(m, givesShares(program, step)); err != nil {
			return err
		}
		p.Targets, p.Complement = p.Trees.Targets(), p.Trees.Complement()
	default:
		return onnx.Unsupported("%s, which is neither linear nor made of trees", step.Label)
	}
	return nil
}

// givesShares says whether a later step brings the scores of a classifier to a sum
// of 1, as with a forest whose leaves hold the shares of the classes.
func givesShares(program *compile.Program, step *compile.Step) bool {
	if len(step.Outputs) < 2 {
		return false
	}
	next := program.Consumer(step.Outputs[1])
	if next == nil {
		return false
	}
	part, ok := next.Part.(compile.ScorePart)
	return ok && part.Shares
}

// Prepare takes the steps before the model, in place.
func (p *Parts) Prepare(row []float32) {
	for _, s := range p.steps {
		s.Apply(row, row)
	}
}

// Explain sets contributions, a number a feature, to what each feature of a
// prepared row adds to a target's score before the model's last step (a softmax, a
// logistic function, a normalization), and returns the baseline to which they are
// added.
func (p *Parts) Explain(row []float32, target int, contributions []float64) (baseline float64) {
	clear(contributions)
	if p.Linear != nil {
		return p.Linear.Explain(row, target, contributions)
	}
	return p.Trees.Explain(row, target, contributions)
}
