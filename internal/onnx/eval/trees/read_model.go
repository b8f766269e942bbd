package trees

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// ReadClassifier reads the attributes of a TreeEnsembleClassifier. rows is
// the element type of the input.
func ReadClassifier(r *attributes.Reader, rows onnx.ElementType) (*Model, error) {
	m := &Model{Classes: r.Labels("classlabels_int64s"), transform: r.PostTransform()}
	base := r.Numbers("base_values")
	if r.Err != nil {
		return nil, r.Err
	}
	f, err := readForest(r, "class", m.Classes.Len())
	if err != nil {
		return nil, err
	}
	if err := m.setBase(base, f.targets); err != nil {
		return nil, err
	}
	if err := m.binary(f); err != nil {
		return nil, err
	}
	m.use(f, aggregateSum, rows)
	return m, nil
}

// ReadRegressor reads the attributes of a TreeEnsembleRegressor.
func ReadRegressor(r *attributes.Reader, rows onnx.ElementType) (*Model, error) {
	m := &Model{transform: r.PostTransform()}
	targets := r.Int("n_targets", 1)
	base := r.Numbers("base_values")
	kind := map[string]aggregate{
		"SUM": aggregateSum, "AVERAGE": aggregateAverage, "MIN": aggregateMin, "MAX": aggregateMax,
	}[r.OneOf("aggregate_function", "SUM", "AVERAGE", "MIN", "MAX")]
	if r.Err != nil {
		return nil, r.Err
	}
	if targets < 1 || targets > math.MaxInt16 {
		return nil, onnx.Invalid("attribute \"n_targets\" is %d", targets)
	}
	f, err := readForest(r, "target", int(targets))
	if err != nil {
		return nil, err
	}
	if err := m.setBase(base, f.targets); err != nil {
		return nil, err
	}
	m.use(f, kind, rows)
	return m, nil
}

// ReadEnsemble reads the attributes of a TreeEnsemble, which replaced the two
// others in version 5 of ai.onnx.ml: branches and leaves are numbered apart.
func ReadEnsemble(r *attributes.Reader, rows onnx.ElementType) (*Model, error) {
	kind, transform := r.Int("aggregate_function", 1), r.Int("post_transform", 0)
	targets := r.Int("n_targets", 1)
	raw := rawEnsemble{
		roots: r.Ints("tree_roots"), features: r.Ints("nodes_featureids"),
		modes: r.Tensor("nodes_modes"), splits: r.Tensor("nodes_splits"),
		yes: r.Ints("nodes_truenodeids"), no: r.Ints("nodes_falsenodeids"),
		yesLeaf: r.Ints("nodes_trueleafs"), noLeaf: r.Ints("nodes_falseleafs"),
		nanIsTrue: r.Ints("nodes_missing_value_tracks_true"), members: r.Tensor("membership_values"),
		leafTargets: r.Ints("leaf_targetids"), leafWeights: r.Tensor("leaf_weights"),
	}
	r.Tensor("nodes_hitrates")
	if r.Err != nil {
		return nil, r.Err
	}
	if kind < 0 || kind > 3 || transform < 0 || transform > 4 {
		return nil, onnx.Invalid("attribute \"aggregate_function\" is %d, \"post_transform\" %d", kind, transform)
	}
	if targets < 1 || targets > math.MaxInt16 {
		return nil, onnx.Invalid("attribute \"n_targets\" is %d", targets)
	}
	f, err := raw.forest(int(targets))
	if err != nil {
		return nil, err
	}
	// onnxruntime counts LOGISTIC as 1 and SOFTMAX as 2, other than the
	// specification.
	m := &Model{transform: numeric.Transform(transform)}
	m.use(f, aggregate(kind), rows)
	return m, nil
}

// use takes over a forest.
func (m *Model) use(f *forest, a aggregate, rows onnx.ElementType) {
	m.scorer = newTreeScorer(f, a, rows)
	targets := f.targets
	m.pool.New = func() any { return newScratch[float32](targets) }
}

// setBase takes base values, of which there may be none, one, or one a target.
func (m *Model) setBase(base attributes.NumberList, targets int) error {
	for i := range base.Len() {
		m.base = append(m.base, base.At(i))
	}
	if len(m.base) > max(targets, 1) {
		return onnx.Invalid("attribute \"base_values\" has %d numbers for %d targets", len(m.base), targets)
	}
	return nil
}

// binary finds out whether all weights of a two-class model are for one class.
func (m *Model) binary(f *forest) error {
	if m.Classes.Len() != 2 {
		return nil
	}
	m.half = !f.weights.HasNegative()
	m.single = len(f.targetIDs) > 0
	for _, id := range f.targetIDs {
		m.single = m.single && id == f.targetIDs[0]
	}
	if !m.single {
		return nil
	}
	m.target = int(f.targetIDs[0])
	if len(m.base) == 2 {
		return onnx.Unsupported("attribute \"base_values\": two values where all weights are for one class")
	}
	if m.transform == numeric.TransformProbit {
		return onnx.Unsupported("attribute \"post_transform\": PROBIT where all weights are for one class")
	}
	// Only one target is left, which lets the fast layout keep one sum.
	clear(f.targetIDs)
	f.targets = 1
	return nil
}
