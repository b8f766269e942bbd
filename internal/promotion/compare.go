package promotion

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// The limits of a comparison.
const (
	// significance is the level of McNemar's test; the interval has 1 − it.
	significance = 0.05
	// resolution is what float32 may do to a log-loss: a difference below it is
	// none.
	resolution = 1e-6
)

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

// compare computes a comparison on the picked rows of a hold-out from the
// probabilities that both models give to all of them (rows × classes).
func compare(h *Holdout, picked []int, challenger, champion []float64) *Comparison {
	c := &Comparison{Rows: len(picked)}
	differences := make([]float64, len(picked))
	for i, row := range picked {
		a, rightA := judgeRow(h, row, challenger)
		b, rightB := judgeRow(h, row, champion)
		differences[i] = a - b
		c.Challenger.LogLoss += a
		c.Champion.LogLoss += b
		switch {
		case rightA && rightB:
			c.Challenger.Accuracy++
			c.Champion.Accuracy++
		case rightA:
			c.Challenger.Accuracy++
			c.OnlyChallengerRight++
		case rightB:
			c.Champion.Accuracy++
			c.OnlyChampionRight++
		}
	}
	for _, score := range []*Score{&c.Challenger, &c.Champion} { // sums until here
		score.Accuracy /= float64(len(picked))
		score.LogLoss /= float64(len(picked))
	}
	c.Difference = mean(differences)
	c.Low, c.High = bootstrap(differences, h.Seed)
	c.McNemar = mcNemar(c.OnlyChampionRight, c.OnlyChallengerRight)
	return c
}

// judgeRow returns the log-loss of a row, that of scikit-learn's log_loss with
// probabilities clipped to [ε, 1−ε], ε = 2⁻⁵², and whether the true class has the
// highest probability, of equal ones the first.
func judgeRow(h *Holdout, row int, probabilities []float64) (loss float64, right bool) {
	const eps = 0x1p-52
	p := probabilities[row*len(h.Classes) : (row+1)*len(h.Classes)]
	truth := h.Y[row]
	loss = -math.Log(min(max(p[truth], eps), 1-eps))
	return loss, slices.Index(p, slices.Max(p)) == truth
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
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
	return quantile(means, significance/2), quantile(means, 1-significance/2)
}

// quantile interpolates between sorted values where the empirical distribution
// reaches p (Hyndman and Fan 1996, definition 4).
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted))
	above := int(math.Ceil(at)) // from 1
	if above <= 1 {
		return sorted[0]
	}
	t := float64(above) - at
	return t*sorted[above-2] + (1-t)*sorted[above-1]
}

// mcNemar is the exact two-sided p of McNemar's test (McNemar 1947; Edwards
// 1948): that of a fair coin for the rows which only one of the two has right.
func mcNemar(b, c int) float64 {
	n, k := float64(b+c), min(b, c)
	logGamma := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	// The binomial probabilities of k, k−1, … 0 heads, added up.
	term := math.Exp(logGamma(n+1) - logGamma(float64(k)+1) - logGamma(n-float64(k)+1) - n*math.Ln2)
	tail := term
	for i := float64(k); i > 0; i-- {
		term *= i / (n - i + 1)
		tail += term
	}
	return math.Min(1, 2*tail)
}
