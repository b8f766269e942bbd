package training

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// A Verdict is what the gate says of a challenger, and why.
type Verdict struct {
	Promote bool
	Reasons []string
	// Comparison is that with the champion, nil where there was none.
	Comparison *Comparison

	// worthKeeping marks a model that learned something but is worse than the
	// champion.
	worthKeeping bool
}

// String is the verdict in one line.
func (v Verdict) String() string {
	word := "refused"
	if v.Promote {
		word = "promoted"
	}
	return word + ": " + strings.Join(v.Reasons, "; ")
}

// The gate's limits.
const (
	// minComparable is the least number of rows that a comparison says
	// something with.
	minComparable = 20
	// significance is the level of McNemar's test; the interval has 1 − it.
	significance = 0.05
	// resolution is what float32 may do to a log-loss: a difference below it is
	// none.
	resolution = 1e-6
)

// judgeGate decides on promotion. A challenger is refused where it was fitted on
// a row of the hold-out, where it does not beat the prior, which looks at no
// feature, and where it is worse than the champion beyond chance. It need not be
// better: on thirty rows of hold-out one error is 3.3 points.
func (t *Trainer) judgeGate(ctx context.Context, j *job, f *fitted) (Verdict, error) {
	var v Verdict
	if n := overlap(f.fittedOn, j.test.rows); n > 0 {
		v.Reasons = []string{fmt.Sprintf("the model was fitted on %d of the %d rows of the hold-out", n, len(j.test.rows))}
		return v, nil
	}
	prior := metrics.LogLoss(j.test.y, f.baseline)
	if !(f.test.LogLoss < prior) { // NaN loses
		v.Reasons = []string{fmt.Sprintf("the hold-out's log-loss %.4f does not beat that of the prior, %.4f", f.test.LogLoss, prior)}
		return v, nil
	}
	v.Reasons = []string{fmt.Sprintf("the hold-out's log-loss %.4f beats that of the prior, %.4f", f.test.LogLoss, prior)}
	v.Promote = true
	if j.champion == nil {
		return v, nil
	}
	c, err := t.compareWithChampion(ctx, j, f)
	switch {
	case errors.Is(err, errIncomparable):
		v.Reasons = append(v.Reasons, fmt.Sprintf("compared with the prior only, since version %s %s", j.champion.Number, err))
	case err != nil:
		return v, fmt.Errorf("compare with the champion, version %s: %w", j.champion.Number, err)
	default:
		v.Comparison = c
		v.Promote = !c.Worse()
		v.worthKeeping = c.Worse()
		v.Reasons = append(v.Reasons, fmt.Sprintf("against the champion, version %s: %s", j.champion.Number, c))
	}
	return v, nil
}

// overlap counts the rows that are in both.
func overlap(a, b []int) int {
	in := make(map[int]bool, len(a))
	for _, row := range a {
		in[row] = true
	}
	n := 0
	for _, row := range b {
		if in[row] {
			n++
		}
	}
	return n
}

// compareWithChampion puts both ONNX files to the rows that neither has seen.
// The error is [errIncomparable] where that is not possible.
func (t *Trainer) compareWithChampion(ctx context.Context, j *job, f *fitted) (*Comparison, error) {
	champion, err := t.rival(ctx, *j.champion)
	if err != nil {
		return nil, err
	}
	predictor, err := loadPredictor(f.onnx)
	if err != nil {
		return nil, err
	}
	challenger := &rival{predictor: predictor, features: j.data.Features}
	picked, err := champion.unseen(j.data, j.test, champion.sameSplit(j))
	if err != nil {
		return nil, err
	}
	return compareOn(j.data, j.test, picked, challenger, champion, j.params.Seed())
}

// compareOn compares a challenger with a champion on some of the rows.
func compareOn(d *dataset.Dataset, rows part, picked []int, challenger, champion *rival, seed uint32) (*Comparison, error) {
	if len(picked) < minComparable {
		return nil, incomparable("there are only %d rows of the hold-out that it was not trained on, fewer than %d", len(picked), minComparable)
	}
	some := rows.take(picked)
	a, err := challenger.probabilities(d, some.x)
	if err != nil {
		return nil, fmt.Errorf("the challenger: %w", err)
	}
	b, err := champion.probabilities(d, some.x)
	if err != nil {
		return nil, err
	}
	return compare(some.y, a, b, seed), nil
}

// A Comparison is how a challenger did beside a champion on the same rows.
type Comparison struct {
	Rows                int
	Challenger          Score
	Champion            Score
	Difference          float64 // of the log-losses: challenger − champion
	Low, High           float64 // its 95 % interval
	OnlyChampionRight   int
	OnlyChallengerRight int
	McNemar             float64 // exact two-sided p
}

// A Score is how one model did.
type Score struct{ Accuracy, LogLoss float64 }

// compare computes a comparison from the probabilities that both give to the
// same rows (n × K).
func compare(y []int, challenger, champion *mat.Dense, seed uint32) *Comparison {
	a, b := metrics.LogLosses(y, challenger), metrics.LogLosses(y, champion)
	saidA, saidB := learn.Predict(challenger), learn.Predict(champion)
	c := &Comparison{
		Rows:       len(y),
		Challenger: Score{metrics.Accuracy(y, saidA), stat.Mean(a, nil)},
		Champion:   Score{metrics.Accuracy(y, saidB), stat.Mean(b, nil)},
	}
	differences := make([]float64, len(y))
	for i := range y {
		differences[i] = a[i] - b[i]
		switch rightA, rightB := saidA[i] == y[i], saidB[i] == y[i]; {
		case rightB && !rightA:
			c.OnlyChampionRight++
		case rightA && !rightB:
			c.OnlyChallengerRight++
		}
	}
	c.Difference = stat.Mean(differences, nil)
	c.Low, c.High = bootstrap(differences, seed)
	c.McNemar = mcNemar(c.OnlyChampionRight, c.OnlyChallengerRight)
	return c
}

// Worse tells whether the challenger is worse beyond chance.
func (c *Comparison) Worse() bool { return c.lossWorse() || c.errorsWorse() }

func (c *Comparison) lossWorse() bool { return c.Low > resolution }

func (c *Comparison) errorsWorse() bool {
	return c.OnlyChampionRight > c.OnlyChallengerRight && c.McNemar < significance
}

// String tells figures and finding.
func (c *Comparison) String() string {
	finding := "no worse"
	switch {
	case c.lossWorse() && c.errorsWorse():
		finding = "worse in log-loss and in errors"
	case c.lossWorse():
		finding = "worse in log-loss"
	case c.errorsWorse():
		finding = "worse in errors"
	case c.High < -resolution:
		finding = "better in log-loss"
	}
	return fmt.Sprintf("%s on %d rows (log-loss %.4f against %.4f, difference %+.4f with 95%% interval %+.4f to %+.4f; "+
		"it alone is right on %d rows, the champion alone on %d, McNemar p = %.3f)",
		finding, c.Rows, c.Challenger.LogLoss, c.Champion.LogLoss, c.Difference, c.Low, c.High,
		c.OnlyChallengerRight, c.OnlyChampionRight, c.McNemar)
}

// figures are what the run is told of a comparison.
func (c *Comparison) figures() map[string]float64 {
	return map[string]float64{
		"rows": float64(c.Rows), "champion_log_loss": c.Champion.LogLoss, "champion_accuracy_score": c.Champion.Accuracy,
		"log_loss_difference": c.Difference, "log_loss_difference_low": c.Low, "log_loss_difference_high": c.High, "mcnemar_p": c.McNemar,
	}
}

// bootstrap is the 95 % percentile interval of the mean (Efron and Tibshirani
// 1993, ch. 13). The rows are pairs already, so that what is hard for both
// models cancels out. The seed decides on the resamples: 2000, fewer above
// 100,000 rows, where the mean hardly varies.
func bootstrap(values []float64, seed uint32) (low, high float64) {
	n := len(values)
	means := make([]float64, min(max(200_000_000/n, 200), 2000))
	random := rand.New(rand.NewPCG(uint64(seed), uint64(n))) //nolint:gosec // G404: a simulation, not a secret
	for i := range means {
		var sum float64
		for range n {
			sum += values[random.IntN(n)]
		}
		means[i] = sum / float64(n)
	}
	slices.Sort(means)
	return stat.Quantile(significance/2, stat.LinInterp, means, nil), stat.Quantile(1-significance/2, stat.LinInterp, means, nil)
}

// mcNemar is the exact two-sided p of McNemar's test (McNemar 1947; Edwards
// 1948): that of a fair coin for the rows which only one of the two has right.
func mcNemar(b, c int) float64 {
	if b+c == 0 {
		return 1
	}
	tail := distuv.Binomial{N: float64(b + c), P: 0.5}.CDF(float64(min(b, c)))
	return math.Min(1, 2*tail)
}
