package training

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
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
	listed      []Candidate // the same, before they are fitted to the data's columns
	commit      string
	source      source
	fingerprint string
}

// newTask checks a request and brings its data into place.
func newTask(ctx context.Context, req Request, opts dvc.Options) (task, error) {
	if err := req.Params.Validate(req.ParamsFile); err != nil {
		return task{}, err
	}
	candidates, faults := req.Params.candidates(req.ParamsFile)
	if faults != nil {
		return task{}, errors.Join(faults...) // Validate has found none
	}
	found, err := locate(ctx, req.Params.Data, opts)
	if err != nil {
		return task{}, err
	}
	t := task{params: req.Params, candidates: candidates, listed: candidates, commit: req.Commit, source: found}
	t.fingerprint, err = t.fingerprintOf("")
	return t, err
}

// fingerprintOf is the task's fingerprint where the given candidates were tried,
// "" for all.
func (t task) fingerprintOf(finished string) (string, error) {
	return fingerprint(t.source.md5, t.params, t.listed, finished)
}

// prepared is a task with its rows, ready to be learned from.
type prepared struct {
	task

	data           *dataset.Dataset
	table          *dataset.Table // nil for a table of numbers
	classes        []string       // the labels as text
	training, test part
}

// prepare reads the data of a task and splits them.
func prepare(ctx context.Context, t task) (prepared, error) {
	p := prepared{task: t}
	var err error
	if p.data, p.table, err = t.source.read(ctx, t.params, false); err != nil {
		return p, err
	}
	p.candidates = make([]Candidate, len(t.candidates))
	for i, c := range t.candidates {
		if p.data.MissingColumns() != nil {
			c = c.ForMissing()
		}
		p.candidates[i] = c.ForColumns(p.columns())
	}
	for i := range p.data.Classes.Len() {
		p.classes = append(p.classes, p.data.Classes.Text(i))
	}
	if p.training, p.test, err = split(p.data, t.params); err != nil {
		return p, err
	}
	p.params.NSplits = p.params.folds(p.training.y)
	return p, nil
}

// columns are the features of a typed table, as the encoders take them; nil where
// all are numbers.
func (p prepared) columns() []preprocessing.Column { return columnsOf(p.data) }

func columnsOf(d *dataset.Dataset) []preprocessing.Column {
	if !slices.ContainsFunc(d.Columns, dataset.Column.IsText) {
		return nil
	}
	columns := make([]preprocessing.Column, len(d.Columns))
	for j, c := range d.Columns {
		columns[j].Name = c.Name
		if c.IsText() {
			columns[j].Categories, columns[j].Boolean = c.Categories, c.Kind == dataset.Boolean
		}
	}
	return columns
}

// holdout is what models are compared on.
func (p prepared) holdout() *promotion.Holdout {
	return &promotion.Holdout{
		Path: p.source.path, Features: p.data.Features, Classes: p.classes,
		X: p.test.x.RawMatrix().Data, Y: p.test.y,
		DataMD5: p.data.MD5, Split: p.params.split(), Seed: p.params.Seed(), Texts: textsOf(p.data),
	}
}

// textsOf are the texts that the values of each column are indices into, nil for
// numbers; nil for a table of numbers.
func textsOf(d *dataset.Dataset) [][]string {
	if columnsOf(d) == nil {
		return nil
	}
	texts := make([][]string, len(d.Columns))
	for j, c := range d.Columns {
		if c.IsText() {
			texts[j] = c.Categories
		}
	}
	return texts
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

// hashes identify the rows of a matrix. Texts are those of its columns, or nil.
func hashes(x *mat.Dense, texts [][]string) []uint64 {
	n, width := x.Dims()
	columns := make([]int, width)
	for j := range columns {
		columns[j] = j
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = promotion.HashRow(x.RawRowView(i), columns, texts)
	}
	return all
}

// split cuts the data into training rows and hold-out. A class that is too rare to
// be in both is learned from: no training waits for a second row of it.
func split(d *dataset.Dataset, p Params) (training, test part, err error) {
	s, err := splitRows(d.Y, p)
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
	if largest(training.y) < 2 {
		return part{}, part{}, &dataset.Error{
			File: d.Path, Column: d.Label, Problem: fmt.Sprintf("no class has two of the %d training rows", len(training.y)),
			Remedy: "add rows; is this the label column?",
		}
	}
	return training, test, nil
}

// largest is the number of rows of the largest class.
func largest(y []int) int {
	counts := map[int]int{}
	most := 0
	for _, k := range y {
		counts[k]++
		most = max(most, counts[k])
	}
	return most
}

// splitRows is scikit-learn's stratified split, but for classes of a single row,
// and those of which chance would leave none to learn from.
func splitRows(y []int, p Params) (modelselection.Split, error) {
	if _, rows := modelselection.SmallestClass(y); rows > 1 {
		s, err := modelselection.TrainTestSplit(y, p.TestSize, p.Seed())
		if err == nil {
			learnAll(&s, y)
		}
		return s, err
	}
	counts := map[int]int{}
	for _, k := range y {
		counts[k]++
	}
	var several, single []int
	for i, k := range y {
		if counts[k] > 1 {
			several = append(several, i)
		} else {
			single = append(single, i)
		}
	}
	s, err := modelselection.TrainTestSplit(modelselection.Take(y, several), p.TestSize, p.Seed())
	if err != nil {
		return s, err
	}
	s.Train, s.Test = append(modelselection.Take(several, s.Train), single...), modelselection.Take(several, s.Test)
	learnAll(&s, y)
	return s, nil
}

// learnAll moves the rows of classes that are held out alone to those learned from.
func learnAll(s *modelselection.Split, y []int) {
	learned := map[int]bool{}
	for _, i := range s.Train {
		learned[y[i]] = true
	}
	kept := s.Test[:0]
	for _, i := range s.Test {
		if learned[y[i]] {
			kept = append(kept, i)
		} else {
			s.Train = append(s.Train, i)
		}
	}
	s.Test = kept
}

// folds is NSplits, or fewer where no class has as many rows: scikit-learn's bound.
// A rarer class is missing from some folds.
func (p Params) folds(y []int) int { return max(2, min(p.NSplits, largest(y))) }
