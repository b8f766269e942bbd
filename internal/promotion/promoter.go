// Package promotion decides which version of a model is served: it compares two
// models on rows that neither was trained on, judges a candidate by the gate,
// and moves the aliases champion, challenger and previous.
//
// It knows nothing of how a model was made: any version whose probabilities can
// be computed takes part. Whoever changes an alias, the trainer or a person,
// does it here.
package promotion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/petal-ml/petal/internal/model/trial"
	"github.com/petal-ml/petal/internal/registry"
)

// Aliases of a model's versions.
const (
	// Champion is the version to serve.
	Champion = "champion"
	// Challenger is the newest version that the gate found worse than the
	// champion. It stands by for a look, or a promotion by hand.
	Challenger = "challenger"
	// Previous is the champion before, which a rollback returns to.
	Previous = "previous"
)

// A Promoter moves the aliases of one model in a registry.
type Promoter struct {
	Registry registry.Registry
	// Model is the name that versions are registered under.
	Model string
	// User and Source are who asks, and by which program: a version that is
	// promoted by hand keeps them.
	User, Source string
	Logger       *slog.Logger
	// Opener opens the models of versions, and bounds them.
	Opener *trial.Opener
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

func (p *Promoter) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}

// Champion returns the version behind the alias, nil where there is none.
func (p *Promoter) Champion(ctx context.Context) (*registry.Version, error) {
	v, err := p.Registry.Resolve(ctx, p.Model, Champion)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil, nil //nolint:nilnil // no champion is a valid answer
	case err != nil:
		return nil, fmt.Errorf("ask for the champion: %w", err)
	}
	return &v, nil
}

// Version returns a version that a person has named. One that does not exist is
// an [*InputError].
func (p *Promoter) Version(ctx context.Context, number string) (registry.Version, error) {
	v, err := p.Registry.Get(ctx, p.Model, number)
	switch {
	case errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrInvalid):
		return v, &InputError{Where: "version " + number, Problem: "does not exist in model " + p.Model, Remedy: "choose one that trainer list shows", Err: err}
	case err != nil:
		return v, fmt.Errorf("ask for version %s: %w", number, err)
	}
	return v, nil
}

// List returns all versions, oldest first, with those of their aliases that this
// package moves.
func (p *Promoter) List(ctx context.Context) ([]registry.Version, error) {
	versions, err := p.Registry.Versions(ctx, p.Model)
	if err != nil {
		return nil, fmt.Errorf("list the versions of %s: %w", p.Model, err)
	}
	aliases := map[string][]string{}
	for _, alias := range []string{Champion, Challenger, Previous} {
		v, err := p.Registry.Resolve(ctx, p.Model, alias)
		switch {
		case errors.Is(err, registry.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("list the versions of %s: %w", p.Model, err)
		default:
			aliases[v.Number] = append(aliases[v.Number], alias)
		}
	}
	for i, v := range versions {
		versions[i].Aliases = aliases[v.Number]
	}
	return versions, nil
}

// maxAttempts bounds how often an alias is moved that others move, too.
const maxAttempts = 3

// Promote makes a version the champion by hand, once its file has been verified
// and loaded, whatever the champion is by then. moved is false where it is the
// champion already. A version that does not exist is an [*InputError].
func (p *Promoter) Promote(ctx context.Context, number string) (v registry.Version, moved bool, err error) {
	for range maxAttempts {
		var old *registry.Version
		if old, err = p.Champion(ctx); err != nil {
			return v, false, err
		}
		v, moved, err = p.replace(ctx, old, number)
		if !errors.Is(err, registry.ErrChanged) {
			return v, moved, err
		}
	}
	return v, false, err
}

// Rollback makes the champion before the last move the champion again; done
// twice it goes back and forth. Where the champion changes meanwhile it is
// [registry.ErrChanged]: the one before is another now.
func (p *Promoter) Rollback(ctx context.Context) (v registry.Version, moved bool, err error) {
	old, err := p.Champion(ctx)
	if err != nil {
		return v, false, err
	}
	previous, err := p.Registry.Resolve(ctx, p.Model, Previous)
	if errors.Is(err, registry.ErrNotFound) {
		return previous, false, &InputError{Where: "model " + p.Model, Problem: "has no previous champion", Remedy: "name a version: trainer promote VERSION", Err: err}
	}
	if err != nil {
		return previous, false, fmt.Errorf("roll back: %w", err)
	}
	v, moved, err = p.replace(ctx, old, previous.Number)
	if errors.Is(err, registry.ErrChanged) {
		err = fmt.Errorf("%w: see trainer list, then roll back again or promote a version", err)
	}
	return v, moved, err
}

// replace puts a version in the place of the champion, nil for none.
func (p *Promoter) replace(ctx context.Context, old *registry.Version, number string) (v registry.Version, moved bool, err error) {
	if v, err = p.Version(ctx, number); err != nil {
		return v, false, err
	}
	if old != nil && old.Number == v.Number {
		return v, false, nil
	}
	files, expect, err := p.fetch(ctx, v)
	if err == nil {
		_, err = p.Opener.Open(ctx, files, expect)
	}
	if err != nil {
		return v, false, fmt.Errorf("promote version %s: it is broken: %w", number, err)
	}
	// The trace of who moved the alias comes before the move, which is last.
	audit := map[string]string{"petal.promoted_at": p.now().UTC().Format(time.RFC3339), "petal.promoted_by": p.User + " by " + p.Source}
	if err := p.Registry.SetTags(ctx, v, audit); err != nil {
		return v, false, fmt.Errorf("promote version %s: %w", number, err)
	}
	if err := p.moveChampion(ctx, v, old); err != nil {
		return v, false, err
	}
	return v, true, nil
}

// moveChampion makes a version the champion in place of the present one, nil for
// none, which becomes the previous one. Where another is the champion by now it
// stays, and the error is [registry.ErrChanged]. A failure at any moment leaves a
// whole champion.
func (p *Promoter) moveChampion(ctx context.Context, v registry.Version, old *registry.Version) error {
	move := registry.Move{Name: p.Model, Alias: Champion, To: v.Number, Keep: Previous}
	if old != nil {
		move.From = old.Number
	}
	if err := p.Registry.MoveAlias(ctx, move); err != nil {
		return fmt.Errorf("promote version %s: %w", v.Number, err)
	}
	// The champion has moved: a failure from here on only leaves a stale alias.
	err := p.Registry.MoveAlias(ctx, registry.Move{Name: p.Model, Alias: Challenger, From: v.Number})
	if err != nil && !errors.Is(err, registry.ErrChanged) {
		p.Logger.WarnContext(ctx, "cannot remove the alias", "alias", Challenger, "version", v.Number, "error", err)
	}
	return nil
}

// RegisterChallenger makes a version that stands by as the challenger. Where the
// challenger has the same model file already there is nothing to do: a trainer
// that starts every day need not register the same model every day.
func (p *Promoter) RegisterChallenger(ctx context.Context, asked registry.Registration) error {
	v, err := p.Registry.Resolve(ctx, p.Model, Challenger)
	if err == nil && v.Tags[registry.TagSHA256] == asked.Model.SHA256 {
		return nil
	}
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return fmt.Errorf("ask for the challenger: %w", err)
	}
	if v, err = p.Registry.Register(ctx, asked); err != nil {
		return fmt.Errorf("register the model: %w", err)
	}
	return p.standBy(ctx, v)
}

// standBy makes a version the challenger.
func (p *Promoter) standBy(ctx context.Context, v registry.Version) error {
	if err := p.Registry.SetAlias(ctx, p.Model, Challenger, v.Number); err != nil {
		return fmt.Errorf("make version %s the challenger: %w", v.Number, err)
	}
	return nil
}

// CheckFiles makes sure that a version still has its model file, of the size it
// was registered with.
func (p *Promoter) CheckFiles(ctx context.Context, v registry.Version) error {
	files, err := p.Registry.Files(ctx, v)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Path != registry.ModelFile {
			continue
		}
		if want := v.Tags[registry.TagSize]; want != "" && want != strconv.FormatInt(f.Size, 10) {
			return fmt.Errorf("%s of version %s has %d bytes, not %s", f.Path, v.Number, f.Size, want)
		}
		return nil
	}
	return fmt.Errorf("version %s has no %s: %w", v.Number, registry.ModelFile, registry.ErrNotFound)
}
