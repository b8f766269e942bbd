package training

import (
	"context"
	"errors"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
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
