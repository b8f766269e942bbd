package training

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/petal-ml/petal/internal/registry"
)

// maxModelBytes bounds what is read of one file of a version.
const maxModelBytes = 1 << 30

// A Summary is a version as "trainer list" shows it.
type Summary struct {
	registry.Version // its Aliases are those of this package

	Estimator, Accuracy, LogLoss string // of the hold-out; "" where unknown
}

// List returns all versions, oldest first.
func (t *Trainer) List(ctx context.Context) ([]Summary, error) {
	versions, err := t.cfg.Registry.Versions(ctx, t.cfg.Model)
	if err != nil {
		return nil, fmt.Errorf("list the versions of %s: %w", t.cfg.Model, err)
	}
	aliases := map[string][]string{}
	for _, alias := range []string{Champion, Challenger, Previous} {
		v, err := t.cfg.Registry.Resolve(ctx, t.cfg.Model, alias)
		switch {
		case errors.Is(err, registry.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("list the versions of %s: %w", t.cfg.Model, err)
		default:
			aliases[v.Number] = append(aliases[v.Number], alias)
		}
	}
	summaries := make([]Summary, len(versions))
	for i, v := range versions {
		v.Aliases = aliases[v.Number]
		summaries[i] = Summary{Version: v, Estimator: v.Tags[tagEstimator], Accuracy: v.Tags[tagTestAccuracy], LogLoss: v.Tags[tagTestLogLoss]}
	}
	return summaries, nil
}

// Promote makes a version the champion by hand, once its file has been verified
// and loaded. moved is false where it is the champion already. A version that
// does not exist is an [*InputError].
func (t *Trainer) Promote(ctx context.Context, number string) (v registry.Version, moved bool, err error) {
	if v, err = t.get(ctx, number); err != nil {
		return v, false, err
	}
	old, err := t.champion(ctx)
	if err != nil {
		return v, false, err
	}
	if old != nil && old.Number == v.Number {
		return v, false, nil
	}
	if err := t.verify(ctx, v); err != nil {
		return v, false, fmt.Errorf("promote version %s: it is broken: %w", number, err)
	}
	// The trace of who moved the alias comes before the move, which is last.
	audit := map[string]string{"petal.promoted_at": t.cfg.Now().UTC().Format(time.RFC3339), "petal.promoted_by": t.cfg.User + " by " + t.cfg.Source}
	if err := t.cfg.Registry.SetTags(ctx, v, audit); err != nil {
		return v, false, fmt.Errorf("promote version %s: %w", number, err)
	}
	if err := t.setChampion(ctx, v, old); err != nil {
		return v, false, err
	}
	t.clearChallenger(ctx, v)
	return v, true, nil
}

// Rollback makes the champion before the last move the champion again; done
// twice it goes back and forth.
func (t *Trainer) Rollback(ctx context.Context) (v registry.Version, moved bool, err error) {
	previous, err := t.cfg.Registry.Resolve(ctx, t.cfg.Model, Previous)
	if errors.Is(err, registry.ErrNotFound) {
		return previous, false, &InputError{Where: "model " + t.cfg.Model, Problem: "has no previous champion", Remedy: "name a version: trainer promote VERSION", Err: err}
	}
	if err != nil {
		return previous, false, fmt.Errorf("roll back: %w", err)
	}
	return t.Promote(ctx, previous.Number)
}

// verify downloads the model file of a version, compares it with the digest it
// was registered with, and loads it as the API would.
func (t *Trainer) verify(ctx context.Context, v registry.Version) error {
	raw, err := t.modelBytes(ctx, v)
	if err != nil {
		return err
	}
	_, err = loadPredictor(raw)
	return err
}
