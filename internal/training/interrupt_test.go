package training

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An interruption in the middle of a long fit ends it within a few of its iterations,
// which are told ten times a second, and the run is marked.
func TestInterruptedFit(t *testing.T) {
	data := noisy(5000, 1)
	for _, spec := range []Spec{
		{Estimator: "RandomForestClassifier", Params: map[string]any{"n_estimators": 20_000}},
		{Estimator: "HistGradientBoostingClassifier", Params: map[string]any{"max_iter": 20_000}},
	} {
		t.Run(spec.Estimator, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			interrupted, last := 0, 0 // iterations
			b := newBench(t, func(c *Config) {
				c.Progress = func(p Progress) {
					last = max(last, p.Iteration)
					if p.Iteration > 0 && interrupted == 0 {
						assert.Equal(t, "candidate 1 of 1, "+spec.Estimator, p.Step)
						interrupted = p.Iteration
						cancel()
					}
				}
			})
			req := b.request(t, "noisy.csv", data)
			req.Params.Candidates = []Spec{spec}
			_, err := b.trainer.Train(ctx, req)
			require.ErrorIs(t, err, context.Canceled)
			require.Positive(t, interrupted)
			require.Less(t, last, interrupted+100)
			require.Contains(t, b.log.String(), "status=KILLED")
		})
	}
}
