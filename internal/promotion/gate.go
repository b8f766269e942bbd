package promotion

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/petal-ml/petal/internal/registry"
)

// A Candidate is a model that may become the champion, with what is known of it
// from the hold-out.
type Candidate struct {
	// Probabilities are those that its model file gives to the hold-out (rows ×
	// classes).
	Probabilities []float64
	// LogLoss is that of the hold-out, and PriorLogLoss that of the shares of the
	// classes, which look at no feature.
	LogLoss, PriorLogLoss float64
	// Leaked counts the rows of the hold-out that the model was fitted on.
	Leaked int
}

// A Verdict is what the gate says of a candidate, and why.
type Verdict struct {
	Promote bool
	// Keep marks a model that learned something but is worse than the champion:
	// it is the challenger.
	Keep    bool
	Reasons []string
	// Comparison is that with the champion, nil where there was none.
	Comparison *Comparison
}

// String is the verdict in one line.
func (v Verdict) String() string {
	word := "refused"
	if v.Promote {
		word = "promoted"
	}
	return word + ": " + strings.Join(v.Reasons, "; ")
}

// Judge is the gate: it decides whether a candidate becomes the champion in
// place of the present one, nil for none. A candidate is refused where it was
// fitted on a row of the hold-out, where it does not beat the prior, and where
// it is worse than the champion beyond chance. It need not be better: on thirty
// rows of hold-out one error is 3.3 points.
func (p *Promoter) Judge(ctx context.Context, h *Holdout, c Candidate, champion *registry.Version) (Verdict, error) {
	var v Verdict
	if c.Leaked > 0 {
		v.Reasons = []string{fmt.Sprintf("the model was fitted on %d of the %d rows of the hold-out", c.Leaked, len(h.Y))}
		return v, nil
	}
	if !(c.LogLoss < c.PriorLogLoss) { // NaN loses
		v.Reasons = []string{fmt.Sprintf("the hold-out's log-loss %.4f does not beat that of the prior, %.4f", c.LogLoss, c.PriorLogLoss)}
		return v, nil
	}
	v.Reasons = []string{fmt.Sprintf("the hold-out's log-loss %.4f beats that of the prior, %.4f", c.LogLoss, c.PriorLogLoss)}
	v.Promote = true
	if champion == nil {
		return v, nil
	}
	found, err := p.compareWith(ctx, h, c, *champion)
	switch {
	case errors.Is(err, ErrIncomparable):
		v.Reasons = append(v.Reasons, fmt.Sprintf("compared with the prior only, since version %s %s", champion.Number, err))
	case err != nil:
		return v, fmt.Errorf("compare with the champion, version %s: %w", champion.Number, err)
	default:
		v.Comparison = found
		v.Promote, v.Keep = !found.Worse(), found.Worse()
		v.Reasons = append(v.Reasons, fmt.Sprintf("against the champion, version %s: %s", champion.Number, found))
	}
	return v, nil
}

// Settle makes v, the version of a candidate that the gate let pass, the champion
// in place of the one it was compared with, nil for none. Where somebody has
// changed the champion since, the candidate is judged again, against that one: it
// may stand by as the challenger then. It returns the verdict that holds in the
// end, and the champion that it is about.
func (p *Promoter) Settle(ctx context.Context, h *Holdout, c Candidate, v registry.Version, verdict Verdict, champion *registry.Version) (Verdict, *registry.Version, error) {
	for range maxAttempts {
		err := p.moveChampion(ctx, v, champion)
		if !errors.Is(err, registry.ErrChanged) {
			return verdict, champion, err
		}
		p.Logger.WarnContext(ctx, "the champion was moved by another: the model is judged again", "version", v.Number, "error", err)
		if champion, err = p.Champion(ctx); err != nil {
			return verdict, nil, err
		}
		if champion != nil && champion.Number == v.Number {
			return verdict, champion, nil // by another's hand
		}
		if verdict, err = p.Judge(ctx, h, c, champion); err != nil {
			return verdict, champion, err
		}
		if err := p.Registry.SetTags(ctx, v, map[string]string{TagVerdict: verdict.String()}); err != nil {
			return verdict, champion, fmt.Errorf("note the verdict: %w", err)
		}
		if verdict.Keep {
			err = p.standBy(ctx, v)
		}
		if !verdict.Promote {
			return verdict, champion, err
		}
	}
	return verdict, champion, fmt.Errorf("version %s passed the gate, but the champion %w, %d times: it stays registered: trainer promote %s",
		v.Number, registry.ErrChanged, maxAttempts, v.Number)
}

// compareWith compares a candidate with the champion on the rows that the
// champion was not trained on.
func (p *Promoter) compareWith(ctx context.Context, h *Holdout, c Candidate, champion registry.Version) (*Comparison, error) {
	m, err := p.Open(ctx, champion)
	if err != nil {
		return nil, err
	}
	seen, err := m.seen(h)
	if err != nil {
		return nil, err
	}
	picked := unseen(len(h.Y), seen)
	if len(picked) < minRows {
		return nil, incomparable("there are only %d rows of the hold-out that it was not trained on, fewer than %d", len(picked), minRows)
	}
	probabilities, err := m.Probabilities(ctx, h)
	if err != nil {
		return nil, err
	}
	return compare(h, picked, c.Probabilities, probabilities), nil
}

// Compare puts version a, as the challenger, and version b, as the champion, to
// those rows of a hold-out that neither was trained on. What stands in the way
// of that is an [*InputError].
func (p *Promoter) Compare(ctx context.Context, h *Holdout, a, b string) (*Comparison, error) {
	var seen [2]func(int) bool
	var models [2]*Model
	for i, number := range []string{a, b} {
		v, err := p.Version(ctx, number)
		if err != nil {
			return nil, err
		}
		if models[i], err = p.Open(ctx, v); err == nil {
			seen[i], err = models[i].seen(h)
		}
		if err != nil {
			return nil, cannotCompare("version "+number, err)
		}
	}
	picked := unseen(len(h.Y), seen[:]...)
	if len(picked) < minRows {
		return nil, &InputError{
			Where:   h.Path,
			Problem: fmt.Sprintf("only %d of its %d hold-out rows were in the training of neither version, fewer than %d", len(picked), len(h.Y), minRows),
			Remedy:  "compare on other data by --data, or with a larger test_size", Err: ErrIncomparable,
		}
	}
	var probabilities [2][]float64
	for i, m := range models {
		var err error
		if probabilities[i], err = m.Probabilities(ctx, h); err != nil {
			return nil, cannotCompare("version "+[]string{a, b}[i], err)
		}
	}
	return compare(h, picked, probabilities[0], probabilities[1]), nil
}

// cannotCompare makes bad input of what cannot be compared; other errors stay.
func cannotCompare(where string, err error) error {
	if !errors.Is(err, ErrIncomparable) {
		return err
	}
	return &InputError{Where: where, Problem: err.Error(), Remedy: "choose another version, or data that suit it, by --data", Err: err}
}
