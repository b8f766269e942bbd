package training

import (
	"context"
	"fmt"

	"github.com/petal-ml/petal/internal/promotion"
)

// Check reads the request's data and profiles them. The profile is there unless
// the file cannot be read; faults tell whatever would stop a training.
func (t *Trainer) Check(ctx context.Context, req Request) (p *Profile, faults error) {
	if err := req.Params.Validate(req.ParamsFile); err != nil {
		return nil, err
	}
	source, err := locate(ctx, req.Params.Data, t.cfg.DVC)
	if err != nil {
		return nil, err
	}
	d, table, err := source.read(ctx, req.Params, true)
	if err != nil {
		if table == nil {
			return nil, err
		}
		return &Profile{Path: source.path, MD5: source.md5, Table: table}, err
	}
	d.Path = source.path
	training, test, err := split(d, req.Params)
	p = profile(d, training, test)
	p.Table, p.LeftOut = table, d.LeftOut
	p.notes = notes(d, table)
	if folds := req.Params.folds(training.y); err == nil && folds < req.Params.NSplits {
		p.notes = append(p.notes, fmt.Sprintf("no class has %d training rows: cross-validation takes %d folds", req.Params.NSplits, folds))
	}
	return p, err
}

// Compare puts version a, as the challenger, and version b, as the champion, to
// those hold-out rows of the request's data that neither was trained on. What
// stands in the way of that is an [*InputError].
func (t *Trainer) Compare(ctx context.Context, req Request, a, b string) (*promotion.Comparison, error) {
	asked, err := newTask(ctx, req, t.cfg.DVC)
	if err != nil {
		return nil, err
	}
	p, err := prepare(ctx, asked)
	if err != nil {
		return nil, err
	}
	return t.cfg.Compare(ctx, p.holdout(), a, b)
}
