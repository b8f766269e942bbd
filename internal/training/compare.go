package training

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/petal-ml/petal/internal/registry"
)

// Compare puts version a, as the challenger, and version b, as the champion, to
// those hold-out rows of the request's data that neither was trained on. What
// stands in the way of that is an [*InputError].
func (t *Trainer) Compare(ctx context.Context, req Request, a, b string) (*Comparison, error) {
	j, err := t.newJob(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := j.read(ctx); err != nil {
		return nil, err
	}
	var rivals [2]*rival
	var unseen [2][]int
	for i, number := range []string{a, b} {
		v, err := t.get(ctx, number)
		if err != nil {
			return nil, err
		}
		if rivals[i], err = t.rival(ctx, v); err == nil {
			unseen[i], err = rivals[i].unseen(j.data, j.test, rivals[i].sameSplit(j))
		}
		if err != nil {
			return nil, cannotCompare("version "+number, err)
		}
	}
	both := slices.DeleteFunc(unseen[0], func(i int) bool { return !slices.Contains(unseen[1], i) })
	if len(both) < minComparable {
		return nil, &InputError{
			Where:   j.source.path,
			Problem: fmt.Sprintf("only %d of its %d hold-out rows were in the training of neither version, fewer than %d", len(both), len(j.test.rows), minComparable),
			Remedy:  "compare on other data by --data, or with a larger test_size",
		}
	}
	c, err := compareOn(j.data, j.test, both, rivals[0], rivals[1], j.params.Seed())
	return c, cannotCompare("versions "+a+" and "+b, err)
}

// cannotCompare makes bad input of what cannot be compared; other errors stay.
func cannotCompare(where string, err error) error {
	if !errors.Is(err, errIncomparable) {
		return err
	}
	return &InputError{Where: where, Problem: err.Error(), Remedy: "choose another version, or data that suit it, by --data", Err: err}
}

// get returns a version that the user has named.
func (t *Trainer) get(ctx context.Context, number string) (registry.Version, error) {
	v, err := t.cfg.Registry.Get(ctx, t.cfg.Model, number)
	switch {
	case errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrInvalid):
		return v, &InputError{Where: "version " + number, Problem: "does not exist of model " + t.cfg.Model, Remedy: "choose one that trainer list shows", Err: err}
	case err != nil:
		return v, fmt.Errorf("ask for version %s: %w", number, err)
	}
	return v, nil
}
