package training

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/robfig/cron/v3"

	"github.com/petal-ml/petal/internal/poll"
	"github.com/petal-ml/petal/internal/registry"
)

// A Service trains at its start and then on a schedule, for as long as it runs.
type Service struct {
	Trainer *Trainer
	// Load reads the request anew for each training, so that changed
	// parameters count.
	Load func() (Request, error)
	// Schedule is in cron syntax and UTC; empty means only at the start.
	Schedule string
	Logger   *slog.Logger
	// RetryFrom and RetryTo bound the growing waits between attempts while the
	// registry cannot be reached; 1 s and 1 min when zero.
	RetryFrom, RetryTo time.Duration
	// ProbeEvery is how often the registry is asked for a sign of life; 15 s
	// when zero.
	ProbeEvery time.Duration

	ready atomic.Pointer[string] // why not; nil before the first answer
}

// Ready is nil once the registry has answered, and as long as it does.
func (s *Service) Ready() error {
	reason := s.ready.Load()
	switch {
	case reason == nil:
		return errors.New("the registry has not answered yet")
	case *reason != "":
		return errors.New(*reason)
	}
	return nil
}

// Run trains until ctx ends, and returns once a training under way has stopped.
// A training that fails is logged and counted: it ends nothing.
func (s *Service) Run(ctx context.Context) error {
	var schedule cron.Schedule
	if s.Schedule != "" {
		var err error
		if schedule, err = cron.ParseStandard(s.Schedule); err != nil {
			return fmt.Errorf("schedule trainings at %q: %w", s.Schedule, err)
		}
	}
	ctx, stop := context.WithCancel(ctx)
	probing := make(chan struct{})
	go func() {
		defer close(probing)
		s.probe(ctx)
	}()
	defer func() { stop(); <-probing }()

	s.train(ctx)
	if schedule != nil {
		s.Logger.InfoContext(ctx, "trainings are scheduled", "schedule", s.Schedule, "next", schedule.Next(time.Now().UTC()))
		follow(ctx, schedule, s.train)
	}
	<-ctx.Done()
	return nil
}

// longestWait is how long the clock is not looked at. A timer stands still while
// the machine sleeps, and does not see that the clock is set.
const longestWait = time.Minute

// follow calls run at the times of the schedule, in UTC, until ctx ends. A time
// that comes while run is still at work is left out.
func follow(ctx context.Context, schedule cron.Schedule, run func(context.Context)) {
	for next := schedule.Next(time.Now().UTC()); !next.IsZero(); {
		wait := time.Until(next.Round(0)) // by the clock on the wall
		if wait <= 0 {
			run(ctx)
			next = schedule.Next(time.Now().UTC())
			continue
		}
		select {
		case <-time.After(min(wait, longestWait)):
		case <-ctx.Done():
			return
		}
	}
}

// train runs one training, again and again while the registry cannot be reached.
func (s *Service) train(ctx context.Context) {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = s.RetryFrom, s.RetryTo
	if waits.InitialInterval <= 0 {
		waits.InitialInterval = time.Second
	}
	if waits.MaxInterval <= 0 {
		waits.MaxInterval = time.Minute
	}
	_, err := backoff.Retry(ctx, func() (Result, error) {
		result, err := s.once(ctx)
		if err != nil && !errors.Is(err, registry.ErrUnavailable) {
			return result, backoff.Permanent(err)
		}
		return result, err
	}, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		s.Logger.WarnContext(ctx, "the registry cannot be used, training again later", "wait", wait.Round(time.Millisecond).String(), "error", err)
	}))
	if err != nil && ctx.Err() == nil {
		s.Logger.ErrorContext(ctx, "training failed", "error", err)
	}
}

func (s *Service) once(ctx context.Context) (Result, error) {
	req, err := s.Load()
	if err != nil {
		return Result{}, s.Trainer.fail(err)
	}
	result, err := s.Trainer.Train(ctx, req)
	if err != nil {
		return result, err
	}
	LogResult(ctx, s.Logger, result)
	return result, nil
}

// fail counts a training that could not even begin.
func (t *Trainer) fail(err error) error {
	now := t.cfg.Now()
	t.cfg.Metrics.observe(failure, now, now)
	return err
}

const probeTimeout = 5 * time.Second

// probe asks the registry for a sign of life until ctx ends.
func (s *Service) probe(ctx context.Context) {
	every := s.ProbeEvery
	if every <= 0 {
		every = 15 * time.Second
	}
	for {
		reason := ""
		asked, cancel := context.WithTimeout(ctx, probeTimeout)
		if _, err := s.Trainer.champion(asked); err != nil {
			reason = err.Error()
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		s.ready.Store(&reason)
		select {
		case <-ctx.Done():
			return
		case <-time.After(poll.Jitter(every)):
		}
	}
}
