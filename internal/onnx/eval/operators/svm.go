package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func svmOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("SVMClassifier", 1, 1, 1, compileSVMClassifier).Of(onnx.DomainML).Outputs(2, 2),
		compile.Row("SVMRegressor", 1, 1, 1, compileSVMRegressor).Of(onnx.DomainML),
	}
}

// An svmKernel measures how alike two rows are.
type svmKernel struct {
	kind                 string
	gamma, coef0, degree float32
}

func readSVMKernel(r *attributes.Reader) svmKernel {
	k := svmKernel{kind: r.OneOf("kernel_type", "LINEAR", "POLY", "RBF", "SIGMOID")}
	params := r.Floats("kernel_params")
	switch len(params) {
	case 0:
	case 3:
		k.gamma, k.coef0, k.degree = params[0], params[1], params[2]
	default:
		r.Fail(onnx.Invalid("attribute \"kernel_params\" has %d numbers, 3 wanted", len(params)))
	}
	return k
}

func (k svmKernel) apply(x, y []float32) float32 {
	switch k.kind {
	case "RBF":
		sum := float32(0)
		for i, v := range x {
			d := v - y[i]
			sum += d * d
		}
		return float32(math.Exp(float64(-k.gamma * sum)))
	case "POLY":
		return float32(math.Pow(float64(k.gamma*numeric.Dot(x, y, 1)+k.coef0), float64(k.degree)))
	case "SIGMOID":
		return float32(math.Tanh(float64(k.gamma*numeric.Dot(x, y, 1) + k.coef0)))
	default:
		return numeric.Dot(x, y, 1)
	}
}

// An svm is a support vector machine: a classifier that votes between each pair
// of classes (libsvm), or one score a class (liblinear), or a regressor.
type svm struct {
	kernel       svmKernel
	features     int
	vectors      []float32 // support vectors, one row each
	perClass     []int
	coefficients []float32
	rho          []float32
	probA, probB []float32
	transform    numeric.Transform
	classes      onnx.Labels
	positive     bool // no coefficient is negative
	oneClass     bool
}

func compileSVMClassifier(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	m := &svm{
		kernel: readSVMKernel(r), vectors: r.Floats("support_vectors"), coefficients: r.Floats("coefficients"),
		rho: r.Floats("rho"), probA: r.Floats("prob_a"), probB: r.Floats("prob_b"),
		transform: r.PostTransform(), classes: r.Labels("classlabels_ints"),
	}
	perClass := r.Ints("vectors_per_class")
	n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if err := m.checkClassifier(perClass); err != nil {
		return nil, err
	}
	n.CheckColumns(m.features)
	m.positive = !slices.ContainsFunc(m.coefficients, func(c float32) bool { return c < 0 })
	n.Part = compile.ModelPart{Columns: m.features, Labels: m.classes}
	n.Outputs[0] = n.LabelType(m.classes)
	n.Outputs[1] = n.Rows(onnx.Float, onnx.Fixed(m.width()))
	return m.classifierKernel, nil
}

// checkClassifier compares the sizes of the lists.
func (m *svm) checkClassifier(perClass []int64) error {
	k := m.classes.Len()
	if k < 2 || k > math.MaxInt16 {
		return onnx.Invalid("%d labels", k)
	}
	total := 0
	for _, v := range perClass {
		if v < 0 || v > math.MaxInt32 {
			return onnx.Invalid("attribute \"vectors_per_class\": %d", v)
		}
		total += int(v)
		m.perClass = append(m.perClass, int(v))
	}
	if total == 0 {
		m.perClass, m.kernel.kind = nil, "LINEAR"
		if len(m.rho) == 0 || len(m.coefficients) == 0 || len(m.coefficients)%k != 0 {
			return onnx.Invalid("%d coefficients and %d rho for %d labels", len(m.coefficients), len(m.rho), k)
		}
		m.features = len(m.coefficients) / k
		return nil
	}
	pairs := k * (k - 1) / 2
	switch {
	case len(perClass) != k:
		return onnx.Invalid("attribute \"vectors_per_class\" has %d numbers for %d labels", len(perClass), k)
	case len(m.vectors) == 0 || len(m.vectors)%total != 0:
		return onnx.Invalid("attribute \"support_vectors\" has %d numbers for %d vectors", len(m.vectors), total)
	case len(m.coefficients) < (k-1)*total:
		return onnx.Invalid("attribute \"coefficients\" has %d numbers, %d wanted", len(m.coefficients), (k-1)*total)
	case len(m.rho) < pairs:
		return onnx.Invalid("attribute \"rho\" has %d numbers, %d wanted", len(m.rho), pairs)
	case len(m.probA) != len(m.probB) || len(m.probA) > 0 && len(m.probA) < pairs:
		return onnx.Invalid("attributes \"prob_a\" and \"prob_b\" have %d and %d numbers, %d wanted", len(m.probA), len(m.probB), pairs)
	}
	m.features = len(m.vectors) / total
	return nil
}

// width is the number of scores of a row.
func (m *svm) width() int {
	k := m.classes.Len()
	if m.perClass != nil && len(m.probA) == 0 {
		return max(2, k*(k-1)/2)
	}
	return k
}

func (m *svm) classifierKernel(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
	x, rows, columns, err := kernel.FeatureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if columns != m.features {
		return nil, onnx.At(onnx.ErrInput, "%d features given, %d wanted", columns, m.features)
	}
	width := m.width()
	out, scores, err := kernel.Alloc[float32](e, rows, width)
	if err != nil {
		return nil, err
	}
	classes := make([]int32, rows)
	alike := make([]float32, len(m.vectors)/m.features)
	for i := range rows {
		classes[i] = int32(m.classify(x[i*columns:(i+1)*columns], scores[i*width:(i+1)*width], alike))
	}
	labels, err := kernel.LabelTensor(e, m.classes, classes)
	return []kernel.Value{labels, out}, err
}

// classify scores one row. alike is room for a number a support vector.
func (m *svm) classify(row, scores, alike []float32) int {
	if m.perClass == nil {
		return m.classifyLinear(row, scores)
	}
	k := m.classes.Len()
	for i := range alike {
		alike[i] = m.kernel.apply(row, m.vectors[i*m.features:(i+1)*m.features])
	}
	pairs := make([]float32, k*(k-1)/2)
	winner := m.vote(alike, pairs)
	switch {
	case len(m.probA) > 0:
		m.probabilities(pairs, scores)
		m.transform.Apply(scores)
	case k == 2 && m.transform == numeric.TransformNone:
		scores[0], scores[1] = -pairs[0], pairs[0]
	case k == 2 && m.transform == numeric.TransformLogistic:
		scores[1] = numeric.Logistic(pairs[0])
		scores[0] = 1 - scores[1]
	case k == 2:
		scores[0], scores[1] = 1-pairs[0], pairs[0]
	default:
		copy(scores, pairs)
		m.transform.Apply(scores)
	}
	return winner
}

// vote lets each pair of classes decide, and returns the class with the most
// votes, the first of equals.
func (m *svm) vote(alike, pairs []float32) int {
	k, total := m.classes.Len(), len(alike)
	votes := make([]int, k)
	pair, firstI := 0, 0
	for i := range k {
		firstJ := firstI + m.perClass[i]
		for j := i + 1; j < k; j++ {
			sum := 0.0
			for v := range m.perClass[i] {
				sum += float64(m.coefficients[(j-1)*total+firstI+v] * alike[firstI+v])
			}
			for v := range m.perClass[j] {
				sum += float64(m.coefficients[i*total+firstJ+v] * alike[firstJ+v])
			}
			sum += float64(m.rho[pair])
			pairs[pair] = float32(sum)
			if sum > 0 {
				votes[i]++
			} else {
				votes[j]++
			}
			pair++
			firstJ += m.perClass[j]
		}
		firstI += m.perClass[i]
	}
	best := 0
	for i, v := range votes {
		if v > votes[best] {
			best = i
		}
	}
	return best
}

func (m *svm) classifyLinear(row, scores []float32) int {
	for i := range scores {
		scores[i] = numeric.Dot(row, m.coefficients[i*m.features:(i+1)*m.features], 1) + m.rho[0]
	}
	class := numeric.Argmax(scores)
	top := scores[class]
	if len(scores) == 2 && (m.positive && top >= 0.5 || !m.positive && top > 0) {
		class = 1
	}
	m.transform.Apply(scores)
	return class
}

// probabilities couples the probabilities of the pairs (Wu, Lin, Weng 2004, the
// second method; in float32 and with the stopping rule of libsvm).
func (m *svm) probabilities(pairs, p []float32) {
	k := len(p)
	r := make([]float32, k*k)
	pair := 0
	for i := range k {
		for j := i + 1; j < k; j++ {
			v := 1 - numeric.Logistic(pairs[pair]*m.probA[pair]+m.probB[pair])
			v = min(max(v, 1e-7), 1-1e-7)
			r[i*k+j], r[j*k+i] = v, 1-v
			pair++
		}
	}
	q := make([]float32, k*k)
	for i := range k {
		p[i] = 1 / float32(k)
		for j := range k {
			if j == i {
				continue
			}
			q[i*k+i] += r[j*k+i] * r[j*k+i]
			q[i*k+j] = -r[j*k+i] * r[i*k+j]
		}
	}
	couple(q, p)
}

// couple minimises p'Qp over the simplex, one coordinate at a time.
func couple(q, p []float32) {
	k := len(p)
	qp := make([]float32, k)
	for range 100 {
		total := float32(0)
		for i := range k {
			qp[i] = numeric.Dot(q[i*k:(i+1)*k], p, 1)
			total += p[i] * qp[i]
		}
		worst := float32(0)
		for _, v := range qp {
			// Not the built-in max: NaN must not count, as in onnxruntime.
			if e := float32(math.Abs(float64(v - total))); e > worst {
				worst = e
			}
		}
		if worst < 0.005/float32(k) {
			return
		}
		for i := range k {
			diff := (-qp[i] + total) / q[i*k+i]
			p[i] += diff
			total = (total + diff*(diff*q[i*k+i]+2*qp[i])) / (1 + diff) / (1 + diff)
			for j := range k {
				qp[j] = (qp[j] + diff*q[i*k+j]) / (1 + diff)
				p[j] /= 1 + diff
			}
		}
	}
}

func compileSVMRegressor(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	m := &svm{
		kernel: readSVMKernel(r), vectors: r.Floats("support_vectors"), coefficients: r.Floats("coefficients"),
		rho: r.Floats("rho"), transform: r.PostTransform(), oneClass: r.Bool("one_class", false),
	}
	count := r.Int("n_supports", 0)
	n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if len(m.rho) == 0 || len(m.coefficients) == 0 || count < 0 || count > math.MaxInt32 {
		return nil, onnx.Invalid("%d coefficients, %d rho, %d support vectors", len(m.coefficients), len(m.rho), count)
	}
	m.features = len(m.coefficients)
	if count > 0 {
		if len(m.coefficients) != int(count) || len(m.vectors) == 0 || len(m.vectors)%int(count) != 0 {
			return nil, onnx.Invalid("%d coefficients and %d numbers for %d support vectors", len(m.coefficients), len(m.vectors), count)
		}
		m.features = len(m.vectors) / int(count)
	}
	n.CheckColumns(m.features)
	n.Part = compile.ModelPart{Columns: m.features, Labels: m.classes}
	n.Outputs[0] = n.Rows(onnx.Float, onnx.Fixed(1))
	return m.regressorKernel, nil
}

func (m *svm) regressorKernel(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
	x, rows, columns, err := kernel.FeatureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if columns != m.features {
		return nil, onnx.At(onnx.ErrInput, "%d features given, %d wanted", columns, m.features)
	}
	out, values, err := kernel.Alloc[float32](e, rows, 1)
	if err != nil {
		return nil, err
	}
	alike := make([]float32, len(m.vectors)/m.features)
	for i := range rows {
		row := x[i*columns : (i+1)*columns]
		if m.vectors == nil {
			values[i] = numeric.Dot(row, m.coefficients, 1) + m.rho[0]
		} else {
			for v := range alike {
				alike[v] = m.kernel.apply(row, m.vectors[v*m.features:(v+1)*m.features])
			}
			values[i] = numeric.Dot(alike, m.coefficients, 1) + m.rho[0]
		}
		if m.oneClass && values[i] > 0 {
			values[i] = 1
		} else if m.oneClass {
			values[i] = -1
		}
	}
	return []kernel.Value{out}, nil
}
