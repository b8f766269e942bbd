package training

import (
	"context"

	"github.com/petal-ml/petal/internal/promotion"
)

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
