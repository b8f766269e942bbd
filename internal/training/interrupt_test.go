package training

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An interruption in the middle of a long fit ends it within a second, and the
// run is marked.
func TestInterruptedFit(t *testing.T) {
	data := noisy(5000, 1)
	for _, spec := range []Spec{
		{Estimator: "RandomForestClassifier", Params: map[string]any{"n_estimators": 20_000}},
		{Estimator: "HistGradientBoostingClassifier", Params: map[string]any{"max_iter": 20_000}},
	} {
		t.Run(spec.Estimator, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var interrupted time.Time
			b := newBench(t, func(c *Config) {
				c.Progress = func(p Progress) {
					if p.Iteration > 0 && interrupted.IsZero() {
						assert.Equal(t, "candidate 1 of 1, "+spec.Estimator, p.Step)
						interrupted = time.Now()
						cancel()
					}
				}
			})
			req := b.request(t, "noisy.csv", data)
			req.Params.Candidates = []Spec{spec}
			_, err := b.trainer.Train(ctx, req)
			require.ErrorIs(t, err, context.Canceled)
			require.False(t, interrupted.IsZero())
			require.Less(t, time.Since(interrupted), time.Second)
			require.Contains(t, b.log.String(), "status=KILLED")
		})
	}
}
