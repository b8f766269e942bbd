package training

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/registry"
)

// rowsFile stands beside a model and holds a hash of each distinct training row,
// so that a later gate knows which rows the model has seen.
const rowsFile = "training_rows.bin"

// A rival is a registered version that rows can be put to.
type rival struct {
	version   registry.Version
	predictor *eval.Predictor
	features  []string // what the model's columns are called
	md5       string   // of its data; "" where unknown
	seen      []uint64 // hashes of its training rows, sorted; nil where unknown
}

// errIncomparable says why a version cannot be put to the rows of a data set.
// What went wrong in the registry is another error.
var errIncomparable = errors.New("cannot be compared")

func incomparable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errIncomparable, fmt.Errorf(format, args...))
}

// rival loads a version as the API would, its digest verified.
func (t *Trainer) rival(ctx context.Context, v registry.Version) (*rival, error) {
	raw, err := t.modelBytes(ctx, v)
	if errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
		return nil, err
	}
	if errors.Is(err, registry.ErrNotFound) {
		return nil, incomparable("its %s is missing", registry.ModelFile)
	}
	if err != nil {
		return nil, incomparable("it is broken: %w", err)
	}
	r := &rival{version: v}
	if r.predictor, err = loadPredictor(raw); err != nil {
		return nil, incomparable("it is broken: %w", err)
	}
	if r.predictor.IsRegressor() {
		return nil, incomparable("it is no classifier")
	}
	text, err := t.readFile(ctx, v, mlmodel.ModelFile)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, incomparable("its %s is missing", mlmodel.ModelFile)
	}
	if err != nil {
		return nil, err
	}
	model, err := mlmodel.Parse(text)
	if err != nil {
		return nil, incomparable("its %s: %w", mlmodel.ModelFile, err)
	}
	for _, c := range model.Signature.Inputs {
		r.features = append(r.features, c.Name)
	}
	if model.Petal != nil {
		r.md5 = model.Petal.Data.MD5
	}
	if len(r.features) != r.predictor.NumFeatures() {
		return nil, incomparable("its signature names %d columns, it takes %d", len(r.features), r.predictor.NumFeatures())
	}
	hashes, err := t.readFile(ctx, v, rowsFile)
	if err == nil {
		r.seen = decodeHashes(hashes)
	} else if !errors.Is(err, registry.ErrNotFound) {
		return nil, err
	}
	return r, nil
}

// modelBytes downloads the model file of a version and compares it with the
// digest it was registered with.
func (t *Trainer) modelBytes(ctx context.Context, v registry.Version) ([]byte, error) {
	raw, err := t.readFile(ctx, v, registry.ModelFile)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	if found, want := hex.EncodeToString(sum[:]), v.Tags[registry.TagSHA256]; want != "" && found != want {
		return nil, fmt.Errorf("%s has the SHA-256 %s, not %s", registry.ModelFile, found, want)
	}
	return raw, nil
}

func (t *Trainer) readFile(ctx context.Context, v registry.Version, name string) ([]byte, error) {
	f, err := t.cfg.Registry.Open(ctx, v, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	raw, err := io.ReadAll(io.LimitReader(f, maxModelBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(raw) > maxModelBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxModelBytes)
	}
	return raw, nil
}

// columns says where the rival's features stand among those of the data.
func (r *rival) columns(d *dataset.Dataset) ([]int, error) {
	columns := make([]int, len(r.features))
	for i, name := range r.features {
		if columns[i] = slices.Index(d.Features, name); columns[i] < 0 {
			return nil, incomparable("it needs the column %q, which the data do not have", name)
		}
	}
	return columns, nil
}

// unseen picks those of the rows that the rival was not trained on. sameSplit
// says that all of them were held out from it too, by position in the same file:
// content does not count then, since two flowers may measure the same.
func (r *rival) unseen(d *dataset.Dataset, rows part, sameSplit bool) ([]int, error) {
	columns, err := r.columns(d)
	if err != nil {
		return nil, err
	}
	if !sameSplit && r.seen == nil {
		return nil, incomparable("it does not say which rows it was trained on")
	}
	var picked []int
	for i := range rows.y {
		if !sameSplit {
			if _, found := slices.BinarySearch(r.seen, hashRow(rows.x.RawRowView(i), columns)); found {
				continue
			}
		}
		picked = append(picked, i)
	}
	return picked, nil
}

// sameSplit tells whether a version was trained on the same file and held out the
// same rows of it.
func (r *rival) sameSplit(j *job) bool {
	return r.md5 != "" && r.md5 == j.data.MD5 && r.version.Tags[tagSplit] == j.params.split()
}

// split names what decides, within one file, on the rows that are held out.
func (p Params) split() string {
	return fmt.Sprintf("test_size=%s random_state=%d label=%s", number(p.TestSize), p.RandomState, p.Label)
}

// probabilities asks the rival about rows: a column for each class of the data,
// 0 for one that it does not know.
func (r *rival) probabilities(d *dataset.Dataset, x *mat.Dense) (*mat.Dense, error) {
	columns, err := r.columns(d)
	if err != nil {
		return nil, err
	}
	n, _ := x.Dims()
	values := make([]float32, 0, n*len(columns))
	for i := range n {
		row := x.RawRowView(i)
		for _, column := range columns {
			values = append(values, float32(row[column]))
		}
	}
	width := r.predictor.NumScores()
	classes, scores := make([]int, n), make([]float32, n*width)
	if err := r.predictor.PredictRows(values, classes, scores); err != nil {
		return nil, incomparable("it does not answer: %w", err)
	}
	to := make([]int, width) // where a class of the rival stands in the data
	for k := range to {
		to[k] = -1
		for class := range d.Classes.Len() {
			if d.Classes.Text(class) == r.predictor.Labels().Text(k) {
				to[k] = class
			}
		}
	}
	proba := mat.NewDense(n, d.Classes.Len(), nil)
	for i := range n {
		var sum float64
		for k, p := range scores[i*width : (i+1)*width] {
			if !(p >= 0 && p <= 1+1e-5) {
				return nil, incomparable("it gives %v for a class where a probability should be", p)
			}
			sum += float64(p)
			if to[k] >= 0 {
				proba.Set(i, to[k], float64(p))
			}
		}
		if math.Abs(sum-1) > 1e-3 {
			return nil, incomparable("its probabilities sum to %v", sum)
		}
	}
	return proba, nil
}

// hashRow identifies a row by the values of some columns. Only equality counts,
// and a chance collision only leaves a row out: 64 bits of FNV-1a do.
func hashRow(row []float64, columns []int) uint64 {
	hash := fnv.New64a()
	var b [8]byte
	for _, column := range columns {
		v := row[column]
		if v == 0 {
			v = 0 // −0 is 0
		}
		if math.IsNaN(v) {
			v = math.NaN() // one kind of them
		}
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(v))
		_, _ = hash.Write(b[:])
	}
	return hash.Sum64()
}

// hashRows is the content of rowsFile: the hashes of the distinct rows, sorted,
// as little-endian 64-bit numbers.
func hashRows(x *mat.Dense) []byte {
	n, _ := x.Dims()
	columns := everyColumn(x)
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = hashRow(x.RawRowView(i), columns)
	}
	slices.Sort(hashes)
	var out []byte
	for _, h := range slices.Compact(hashes) {
		out = binary.LittleEndian.AppendUint64(out, h)
	}
	return out
}

func decodeHashes(raw []byte) []uint64 {
	hashes := make([]uint64, 0, len(raw)/8)
	for ; len(raw) >= 8; raw = raw[8:] {
		hashes = append(hashes, binary.LittleEndian.Uint64(raw))
	}
	return hashes
}
