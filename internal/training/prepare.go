package training

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/promotion"
)

// A Request asks for one training.
type Request struct {
	Params Params
	// ParamsFile names the parameters' file in messages.
	ParamsFile string
	// Commit is the Git commit of the work tree, empty when unknown.
	Commit string
	// Force trains even where the champion has the same fingerprint.
	Force bool
}

// A task is a checked request, its data in place and verified.
type task struct {
	params      Params
	candidates  []Candidate
	commit      string
	source      source
	fingerprint string
}

// newTask checks a request and brings its data into place.
func newTask(ctx context.Context, req Request, opts dvc.Options) (task, error) {
	if err := req.Params.Validate(req.ParamsFile); err != nil {
		return task{}, err
	}
	candidates, faults := candidates(req.Params.Candidates, req.Params.Seed(), req.ParamsFile)
	if faults != nil {
		return task{}, errors.Join(faults...) // Validate has found none
	}
	found, err := locate(ctx, req.Params.Data, opts)
	if err != nil {
		return task{}, err
	}
	t := task{params: req.Params, candidates: candidates, commit: req.Commit, source: found}
	t.fingerprint, err = fingerprint(found.md5, t.params, candidates)
	return t, err
}

// prepared is a task with its rows, ready to be learned from.
type prepared struct {
	task

	data           *dataset.Dataset
	classes        []string // the labels as text
	training, test part
}

// prepare reads the data of a task and splits them.
func prepare(ctx context.Context, t task) (prepared, error) {
	p := prepared{task: t}
	var err error
	if p.data, err = t.source.read(ctx, t.params, false); err != nil {
		return p, err
	}
	if p.data.MissingColumns() != nil {
		p.candidates = make([]Candidate, len(t.candidates))
		for i, c := range t.candidates {
			p.candidates[i] = c.ForMissing()
		}
	}
	for i := range p.data.Classes.Len() {
		p.classes = append(p.classes, p.data.Classes.Text(i))
	}
	if p.training, p.test, err = split(p.data, t.params); err != nil {
		return p, err
	}
	return p, checkFolds(p.data, p.training, t.params)
}

// holdout is what models are compared on.
func (p prepared) holdout() *promotion.Holdout {
	return &promotion.Holdout{
		Path: p.source.path, Features: p.data.Features, Classes: p.classes,
		X: p.test.x.RawMatrix().Data, Y: p.test.y,
		DataMD5: p.data.MD5, Split: p.params.split(), Seed: p.params.Seed(),
	}
}

// A part is a set of rows cut out of the data.
type part struct {
	x    *mat.Dense
	y    []int
	rows []int // where they stand in the data
}

// take cuts rows out of a part.
func (p part) take(rows []int) part {
	return part{modelselection.TakeRows(p.x, rows), modelselection.Take(p.y, rows), modelselection.Take(p.rows, rows)}
}

// hashes identify the rows of a matrix.
func hashes(x *mat.Dense) []uint64 {
	n, width := x.Dims()
	columns := make([]int, width)
	for j := range columns {
		columns[j] = j
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = promotion.HashRow(x.RawRowView(i), columns)
	}
	return all
}

// split cuts the data into training rows and hold-out.
func split(d *dataset.Dataset, p Params) (training, test part, err error) {
	class, rows := modelselection.SmallestClass(d.Y)
	if rows < 2 {
		return part{}, part{}, &dataset.Error{
			File: d.Path, Column: d.Label, Problem: fmt.Sprintf("class %q has a single row, which cannot be in both training and hold-out", d.Classes.Text(class)),
			Remedy: "add rows of that class or remove it",
		}
	}
	s, err := modelselection.TrainTestSplit(d.Y, p.TestSize, p.Seed())
	if err != nil {
		return part{}, part{}, &InputError{
			Where:   d.Path,
			Problem: fmt.Sprintf("cannot hold out %v of its rows: %s", p.TestSize, strings.TrimSuffix(err.Error(), ": "+modelselection.ErrSplit.Error())),
			Remedy:  "add rows, or choose another test_size", Err: err,
		}
	}
	training.x, training.y = d.Select(s.Train)
	test.x, test.y = d.Select(s.Test)
	training.rows, test.rows = s.Train, s.Test
	return training, test, nil
}

// checkFolds refuses data whose classes cannot be in every fold.
func checkFolds(d *dataset.Dataset, training part, p Params) error {
	class, rows := modelselection.SmallestClass(training.y)
	if rows >= p.NSplits {
		return nil
	}
	return &dataset.Error{
		File: d.Path, Column: d.Label,
		Problem: fmt.Sprintf("class %q has %d training rows, fewer than the %d folds of n_splits", d.Classes.Text(class), rows, p.NSplits),
		Remedy:  "add rows of that class, or lower n_splits",
	}
}
