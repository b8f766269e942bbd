package training

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/robfig/cron/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// away is a registry that cannot be reached until it is told otherwise.
type away struct {
	registry.Registry
	back atomic.Bool
}

func (a *away) Resolve(ctx context.Context, name, alias string) (registry.Version, error) {
	if !a.back.Load() {
		return registry.Version{}, fmt.Errorf("%w: connection refused", registry.ErrUnavailable)
	}
	return a.Registry.Resolve(ctx, name, alias)
}

// start runs a service until the test ends, and waits for its end.
func start(t *testing.T, s *Service) {
	t.Helper()
	s.RetryFrom, s.RetryTo, s.ProbeEvery = time.Millisecond, 10*time.Millisecond, 5*time.Millisecond
	s.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			assert.NoError(t, err)
		case <-time.After(10 * time.Second):
			t.Error("the service does not stop")
		}
	})
}

const soon = 20 * time.Second

func TestServiceWaitsForTheRegistry(t *testing.T) {
	reg := &away{}
	b := newBench(t, func(c *Config) { reg.Registry, c.Registry = c.Registry, reg })
	metrics := b.trainer.cfg.Metrics
	req := b.irisRequest(t)
	s := &Service{Trainer: b.trainer, Load: func() (Request, error) { return req, nil }}
	messages := golden.New(t)
	messages.Add("not ready", s.Ready())
	start(t, s)

	failures := metrics.runs.WithLabelValues("failure")
	require.Eventually(t, func() bool { return testutil.ToFloat64(failures) >= 3 }, soon, time.Millisecond)
	require.Eventually(t, func() bool { return s.Ready() != nil }, soon, time.Millisecond)
	assert.InDelta(t, 0, testutil.ToFloat64(metrics.registryUp), 0)

	reg.back.Store(true)
	promoted := metrics.runs.WithLabelValues("promoted")
	require.Eventually(t, func() bool { return testutil.ToFloat64(promoted) == 1 }, soon, time.Millisecond)
	require.Eventually(t, func() bool { return s.Ready() == nil }, soon, time.Millisecond)
	assert.Equal(t, "1", b.champion(t).Number)
	assert.InDelta(t, 0, testutil.ToFloat64(metrics.lastFailed), 0)
	assert.InDelta(t, 1, testutil.ToFloat64(metrics.registryUp), 0)
}

func TestServiceStaysUpWhenATrainingFails(t *testing.T) {
	b := newBench(t)
	s := &Service{Trainer: b.trainer, Load: func() (Request, error) { return Request{}, errors.New("no parameters") }}
	start(t, s)
	failures := b.trainer.cfg.Metrics.runs.WithLabelValues("failure")
	require.Eventually(t, func() bool { return testutil.ToFloat64(failures) == 1 }, soon, time.Millisecond)
	require.Eventually(t, func() bool { return s.Ready() == nil }, soon, time.Millisecond)
	assert.InDelta(t, 1, testutil.ToFloat64(b.trainer.cfg.Metrics.lastFailed), 0)
}

func TestServiceFollowsTheSchedule(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	var loads atomic.Int64
	s := &Service{
		Trainer: b.trainer, Schedule: "@every 20ms",
		Load: func() (Request, error) {
			changed := req // each time with another seed, so that there is something to do
			changed.Params.RandomState = loads.Add(1) % 3
			return changed, nil
		},
	}
	start(t, s)
	promoted := b.trainer.cfg.Metrics.runs.WithLabelValues("promoted")
	require.Eventually(t, func() bool { return testutil.ToFloat64(promoted) >= 3 }, soon, time.Millisecond)
}

func TestServiceRefusesAScheduleThatIsNone(t *testing.T) {
	bad := &Service{Schedule: "every night", Logger: slog.New(slog.DiscardHandler)}
	err := bad.Run(t.Context())
	require.Error(t, err)
	golden.New(t).Add("every night", err)
}

// The schedule is in UTC wherever the machine stands, and what falls into a long
// training is left out.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		schedule, err := cron.ParseStandard("0 3 * * *")
		require.NoError(t, err)
		begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		require.True(t, begin.Equal(time.Now()), "the clock of the test")
		ctx, cancel := context.WithTimeout(t.Context(), 5*24*time.Hour)
		defer cancel()
		var runs []time.Duration
		follow(ctx, schedule, func(context.Context) {
			runs = append(runs, time.Since(begin))
			if len(runs) == 2 {
				time.Sleep(30 * time.Hour)
			}
		})
		day := 24 * time.Hour
		require.Equal(t, []time.Duration{3 * time.Hour, day + 3*time.Hour, 3*day + 3*time.Hour, 4*day + 3*time.Hour}, runs)
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
	})
}

func TestFollowEndsWithoutATime(t *testing.T) {
	schedule, err := cron.ParseStandard("0 3 30 2 *")
	require.NoError(t, err)
	follow(t.Context(), schedule, func(context.Context) { t.Error("the thirtieth of February") })
}
