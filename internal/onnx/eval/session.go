package eval

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/operators"
)

// A Session is a compiled model. It is safe for concurrent use.
type Session struct {
	program *compile.Program
	inputs  []onnx.ValueInfo
	outputs []onnx.ValueInfo
	limits  onnx.Limits
	used    atomic.Int64 // bytes of all runs under way
	pieces  *pieces      // nil: a batch goes through the graph as it is
}

// A SessionOption changes how [NewSession] compiles.
type SessionOption func(*sessionOptions)

type sessionOptions struct {
	ctx     context.Context
	limits  onnx.Limits
	outputs []string
	unused  bool
}

// WithContext has [NewSession] end with the context. Runs do not know it.
func WithContext(ctx context.Context) SessionOption {
	return func(o *sessionOptions) { o.ctx = ctx }
}

// WithLimits bounds the work and the memory of constants, and the memory of all runs
// under way; the default is the zero [onnx.Limits].
func WithLimits(l onnx.Limits) SessionOption {
	return func(o *sessionOptions) { o.limits = l }
}

// WithOutputs keeps only the named outputs; what only the others need is
// dropped.
func WithOutputs(names ...string) SessionOption {
	return func(o *sessionOptions) { o.outputs = names }
}

// WithoutUnusedInputs drops inputs that the outputs do not depend on, such as the
// label, which ML.NET leaves among the inputs.
func WithoutUnusedInputs() SessionOption {
	return func(o *sessionOptions) { o.unused = true }
}

// NewSession compiles a model: it looks up each operator, infers types and
// shapes, evaluates what is constant and drops what no output needs. The
// session keeps the large attributes and constants of the model: do not change
// them afterwards.
//
// A model that this package cannot run is refused with [ErrUnsupported], naming
// every operator that is missing; one whose nodes contradict themselves with
// [ErrInvalid]; one whose constants are too much to compute with [ErrLimit].
func NewSession(m *onnx.Model, options ...SessionOption) (*Session, error) {
	o := sessionOptions{ctx: context.Background()}
	for _, option := range options {
		option(&o)
	}
	if missing := MissingOperators(m); len(missing) > 0 {
		return nil, fmt.Errorf("compile model: %w", onnx.Unsupported("operators %s", strings.Join(missing, ", ")))
	}
	outputs, err := selectOutputs(m.Graph.Outputs, o.outputs)
	if err != nil {
		return nil, fmt.Errorf("compile model: %w", err)
	}
	s := &Session{inputs: m.Inputs(), limits: o.limits.WithDefaults()}
	budget := kernel.NewEnv(s.limits.Memory).Bounded(o.ctx, s.limits.Work)
	if s.program, s.outputs, err = compile.Compile(m, operators.Table(), budget, outputs); err != nil {
		return nil, fmt.Errorf("compile model: %w", err)
	}
	if o.unused {
		s.dropUnused()
	}
	if s.pieces, s.inputs = newPieces(s.inputs); s.pieces != nil {
		s.outputs = s.pieces.seenOutputs(s.outputs)
	}
	return s, nil
}

// dropUnused drops inputs that no step reads.
func (s *Session) dropUnused() {
	read := make([]bool, s.program.Slots)
	for i := range s.program.Steps {
		for _, slot := range s.program.Steps[i].Inputs {
			if slot >= 0 {
				read[slot] = true
			}
		}
	}
	for _, slot := range s.program.OutputSlots {
		read[slot] = true
	}
	var inputs []onnx.ValueInfo
	var slots []int
	for i, slot := range s.program.InputSlots {
		if read[slot] {
			inputs, slots = append(inputs, s.inputs[i]), append(slots, slot)
		}
	}
	s.inputs, s.program.InputSlots = inputs, slots
}

func selectOutputs(all []onnx.ValueInfo, names []string) ([]onnx.ValueInfo, error) {
	if names == nil {
		return all, nil
	}
	selected := make([]onnx.ValueInfo, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(all, func(v onnx.ValueInfo) bool { return v.Name == name })
		if i < 0 {
			return nil, onnx.At(onnx.ErrInput, "the model has no output %q", name)
		}
		selected = append(selected, all[i])
	}
	return selected, nil
}

// Inputs returns what [Session.Run] takes.
func (s *Session) Inputs() []onnx.ValueInfo { return slices.Clone(s.inputs) }

// Outputs returns what [Session.Run] gives, with the types that were inferred.
func (s *Session) Outputs() []onnx.ValueInfo { return slices.Clone(s.outputs) }

// Run evaluates the model on named inputs, and returns its outputs in the order
// of [Session.Outputs]. The rows of a batch are the first dimension. A graph that
// takes a fixed number of rows gets any number in pieces. Inputs are
// not changed; outputs may share memory with them and with constants of the
// model, so neither may be changed afterwards.
//
// Inputs that do not fit are [onnx.ErrInput]; a run that takes too much memory is
// [onnx.ErrLimit], one that finds too much of it taken by others [onnx.ErrBusy]. A
// fault of an operator is an error.
func (s *Session) Run(inputs map[string]kernel.Value) (_ []kernel.Value, err error) {
	defer recovered(&err)
	inPieces := s.pieces != nil && !s.pieces.fit(inputs)
	values, err := s.bind(inputs, s.pieces == nil || inPieces)
	if err != nil {
		return nil, err
	}
	e := s.newEnv()
	defer e.Release()
	if inPieces {
		return s.runPieces(e, values)
	}
	return s.runOnce(e, values)
}

func (s *Session) newEnv() *kernel.Env { return kernel.NewEnv(s.limits.Memory).Sharing(&s.used) }

// bind puts named inputs into their slots, and may check their types before.
func (s *Session) bind(inputs map[string]kernel.Value, check bool) ([]kernel.Value, error) {
	values := make([]kernel.Value, s.program.Slots)
	for i, in := range s.inputs {
		v, ok := inputs[in.Name]
		if !ok || v == nil {
			return nil, onnx.At(onnx.ErrInput, "input %q is missing", in.Name)
		}
		if check {
			if err := fits(v, in.Type); err != nil {
				return nil, onnx.At(err, "input %q", in.Name)
			}
		}
		values[s.program.InputSlots[i]] = v
	}
	if len(inputs) > len(s.inputs) {
		for name := range inputs {
			if !slices.ContainsFunc(s.inputs, func(v onnx.ValueInfo) bool { return v.Name == name }) {
				return nil, onnx.At(onnx.ErrInput, "the model has no input %q", name)
			}
		}
	}
	return values, nil
}

func (s *Session) runOnce(e *kernel.Env, values []kernel.Value) ([]kernel.Value, error) {
	if err := s.program.Run(e, values); err != nil {
		return nil, err
	}
	outputs := make([]kernel.Value, len(s.program.OutputSlots))
	for i, slot := range s.program.OutputSlots {
		outputs[i] = values[slot]
	}
	return outputs, nil
}

// recovered makes an error of a panic: a model from anywhere that finds a fault in an
// operator must not end the process.
func recovered(err *error) {
	if fault := recover(); fault != nil {
		*err = fmt.Errorf("the model makes the evaluator fail: %v", fault)
	}
}

// fits checks a value against a declared type.
func fits(v kernel.Value, want onnx.Type) error {
	t, ok := v.(*onnx.Tensor)
	if !ok || want.Kind != onnx.KindTensor {
		return onnx.At(onnx.ErrInput, "%v given, %v wanted", v.ValueType(), want)
	}
	if n, err := onnx.ElementCount(t.Shape); err != nil || t.Type() == 0 || n != t.DataLen() {
		return onnx.At(onnx.ErrInput, "the shape %v does not fit the data", t.Shape)
	}
	if t.Type() != want.Element {
		return onnx.At(onnx.ErrInput, "elements are %v, %v wanted", t.Type(), want.Element)
	}
	if !want.HasShape {
		return nil
	}
	if len(want.Shape) != len(t.Shape) {
		return onnx.At(onnx.ErrInput, "shape %v given, %v wanted", t.Shape, want)
	}
	for i, d := range want.Shape {
		if d.Size >= 0 && d.Size != t.Shape[i] {
			return onnx.At(onnx.ErrInput, "shape %v given, %v wanted", t.Shape, want)
		}
	}
	return nil
}

// A Value is what a run takes and gives: a [*onnx.Tensor], or [*ProbabilityMaps].
type Value = kernel.Value

// ProbabilityMaps is what ZipMap makes: a sequence of maps, one a row, from label
// to score.
type ProbabilityMaps = kernel.ProbabilityMaps
