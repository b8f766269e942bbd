// Package training is the pipeline from a data file to a champion, in stages:
//
//   - prepare: data in place, verified, read and split into training rows and hold-out
//   - fit: the candidates cross-validated, the best one fitted on the training rows
//   - judge: figures, the model as ONNX, verified, and what the gate says of it
//   - report: all of it in the registry's words
//   - record: written to a run, registered, promoted
//
// Each stage takes the values of those before and returns its own; the last one
// alone writes. The order of its writes keeps the champion whole: its alias is
// moved last, after the run was read back, so that a failure, an interruption or
// a kill at any moment leaves the old champion as it was.
package training

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
)

// Config is what a [Trainer] works with. Registry, model, user, source, logger
// and clock are those of its promoter.
type Config struct {
	promotion.Promoter

	// DVC says how data are pulled; its logger is the promoter's when nil.
	DVC     dvc.Options
	Metrics *Metrics
	// Progress is told of each step that is done; nil for nobody.
	Progress func(Progress)
	// Draw makes the pictures of a run; nil for none.
	Draw Draw
	// Workers is the number of goroutines that compute; 0 means GOMAXPROCS.
	Workers int
}

// A Trainer trains models and promotes them.
type Trainer struct {
	cfg Config
}

// New returns a trainer.
func New(cfg Config) *Trainer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.DVC.Logger == nil {
		cfg.DVC.Logger = cfg.Logger
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	return &Trainer{cfg: cfg}
}

// Train runs the pipeline once. Where [IsInput] is true of the error the user
// has to mend something; where it is [registry.ErrUnavailable] a later call may
// succeed.
func (t *Trainer) Train(ctx context.Context, req Request) (Result, error) {
	start := t.cfg.Now()
	t.cfg.Metrics.inProgress.Set(1)
	result, err := t.train(ctx, req)
	switch {
	case err == nil:
		t.cfg.Metrics.observe(result.Outcome, start, t.cfg.Now())
	case ctx.Err() != nil:
		t.cfg.Metrics.inProgress.Set(0) // interrupted, not failed
	default:
		t.cfg.Metrics.observe(failure, start, t.cfg.Now())
	}
	return result, err
}

// train prepares the data, trains within a run of the registry, which it ends in
// any case, and promotes what the gate let pass.
func (t *Trainer) train(ctx context.Context, req Request) (Result, error) {
	asked, err := newTask(ctx, req, t.cfg.DVC)
	if err != nil {
		return Result{}, err
	}
	told := &progress{tell: t.cfg.Progress, told: time.Now()}
	told.total = 5 + len(asked.candidates)*asked.params.NSplits // verify, read, fit, evaluate, promote, and the folds
	told.step("verify " + asked.source.path)
	if !req.Force {
		if current, err := t.current(ctx, asked); err != nil || current != nil {
			return unchanged(current, asked), err
		}
	}
	p, err := prepare(ctx, asked)
	if err != nil {
		return Result{}, err
	}
	told.step("read " + p.source.path)
	t.cfg.Metrics.rows.Set(float64(p.data.Rows()))
	unlock, waited, err := t.takeTurn(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if waited && !req.Force { // the other training may have made this very model
		if current, err := t.current(ctx, asked); err != nil || current != nil {
			return unchanged(current, asked), err
		}
	}
	t.cfg.Logger.InfoContext(ctx, "training", "data", p.source.path, "md5", p.source.md5, "from", p.source.from,
		"rows", p.data.Rows(), "features", len(p.data.Features), "classes", len(p.classes), "holdout", len(p.test.y))
	for _, note := range notes(p.data, p.table) {
		t.cfg.Logger.WarnContext(ctx, "look at the data", "note", note)
	}

	to := recorder{&t.cfg.Promoter}
	run, err := to.start(ctx, p, t.cfg.Now())
	if err != nil {
		return Result{}, err
	}
	result, promoted, err := t.inRun(ctx, run, to, p, told)
	if err != nil {
		to.abandon(ctx, run, err)
		return Result{}, err
	}
	if promoted == nil {
		return result, nil
	}
	// The run stands as finished whatever happens now: all it promised is done.
	return t.promote(ctx, run, to, result, promoted, told)
}

// promote makes what the gate let pass the champion. Where the champion has changed
// since, the gate may say something else.
func (t *Trainer) promote(ctx context.Context, run registry.Run, to recorder, result Result, p *passed, told *progress) (Result, error) {
	verdict, champion, err := t.cfg.Settle(ctx, p.holdout, p.candidate, p.version, result.Verdict, p.champion)
	if err != nil {
		return Result{}, err
	}
	if said := result.Verdict.String(); said != verdict.String() {
		if err := to.verdict(ctx, run, verdict, points("gate_", gateFigures(verdict), t.cfg.Now())); err != nil {
			return Result{}, err
		}
	}
	result.Verdict = verdict
	if !verdict.Promote && champion != nil {
		result.Outcome, result.Version = Refused, *champion
		return result, nil
	}
	told.step("promote version " + p.version.Number)
	result.Version = p.version
	return result, nil
}

// turnPoll is how often a training asks whether the one before it has ended.
const turnPoll = 500 * time.Millisecond

// takeTurn waits until nobody else trains the model.
func (t *Trainer) takeTurn(ctx context.Context) (unlock func(), waited bool, err error) {
	for {
		unlock, err = t.cfg.Registry.Lock(ctx, t.cfg.Model)
		if !errors.Is(err, registry.ErrLocked) {
			return unlock, waited, err
		}
		if !waited {
			t.cfg.Logger.WarnContext(ctx, "another training of this model is under way; this one waits until it ends", "model", t.cfg.Model)
		}
		waited = true
		select {
		case <-ctx.Done():
			return nil, waited, ctx.Err()
		case <-time.After(turnPoll):
		}
	}
}

func unchanged(champion *registry.Version, asked task) Result {
	if champion == nil {
		return Result{}
	}
	return Result{Outcome: Unchanged, Version: *champion, Data: asked.source.path}
}

// current returns the champion where it was trained from the same data,
// parameters and code, and is still whole.
func (t *Trainer) current(ctx context.Context, asked task) (*registry.Version, error) {
	champion, err := t.champion(ctx)
	if err != nil || champion == nil {
		return nil, err
	}
	same, err := asked.fingerprintOf(champion.Tags[tagFinished])
	if err != nil || champion.Tags[registry.TagFingerprint] != same {
		return nil, err
	}
	if err := t.cfg.CheckFiles(ctx, *champion); err != nil {
		t.cfg.Logger.WarnContext(ctx, "the champion is damaged, training anew", "version", champion.Number, "error", err)
		return nil, nil //nolint:nilnil // as good as none
	}
	return champion, nil
}

// champion returns the version behind the alias, nil where there is none, and
// tells the metrics whether the registry answered.
func (t *Trainer) champion(ctx context.Context) (*registry.Version, error) {
	v, err := t.cfg.Champion(ctx)
	t.cfg.Metrics.setRegistryUp(err == nil)
	return v, err
}

// passed is what the gate let pass: a registered version, and what it was judged
// by.
type passed struct {
	version   registry.Version
	candidate promotion.Candidate
	holdout   *promotion.Holdout
	champion  *registry.Version // that it was compared with; nil for none
}

// inRun takes prepared data through the stages: fit, judge, report, record. Each
// hands its result on as a value, and only the last one writes. promoted is nil
// where the gate refused the model.
func (t *Trainer) inRun(ctx context.Context, run registry.Run, to recorder, p prepared, told *progress) (result Result, promoted *passed, err error) {
	if err := to.inputs(ctx, run, p); err != nil {
		return Result{}, nil, err
	}
	f, j, err := t.fitAndJudge(ctx, p, told)
	if err != nil {
		return Result{}, nil, err
	}
	if p.fingerprint, err = p.fingerprintOf(f.finished); err != nil {
		return Result{}, nil, err
	}
	told.step("evaluate")
	for name, value := range finite(figures(j.test)) {
		t.cfg.Metrics.holdout.WithLabelValues(name).Set(value)
	}
	champion, err := t.champion(ctx) // of now: the fit may have taken hours
	if err != nil {
		return Result{}, nil, err
	}
	verdict, err := t.cfg.Judge(ctx, p.holdout(), j.candidate, champion)
	if err != nil {
		return Result{}, nil, err
	}
	r, err := newReport(p, f, j, verdict, champion, t.cfg.Draw, t.cfg.Now())
	if err != nil {
		return Result{}, nil, err
	}
	logged, err := to.report(ctx, run, r)
	if err != nil {
		return Result{}, nil, err
	}
	v, err := to.register(ctx, logged, r)
	if err != nil {
		return Result{}, nil, err
	}
	if err := run.Finish(ctx, registry.Finished); err != nil {
		return Result{}, nil, fmt.Errorf("finish the run: %w", err)
	}
	r.result.RunID = run.ID()
	if v == nil {
		return r.result, nil, nil
	}
	return r.result, &passed{*v, j.candidate, p.holdout(), champion}, nil
}

// fitAndJudge fits the best candidate, or where it does not beat the prior on the
// hold-out, the next best that does. Where none does, the best stands.
func (t *Trainer) fitAndJudge(ctx context.Context, p prepared, told *progress) (f fitted, j judged, err error) {
	if f, err = fit(ctx, p, t.cfg.Workers, told); err != nil {
		return f, j, err
	}
	for _, what := range f.untried {
		t.cfg.Logger.InfoContext(ctx, "not tried", "candidate", what)
	}
	if j, err = judge(ctx, p, f, t.cfg.Now()); err != nil {
		return f, j, err
	}
	other, judgedOther := f, j
	for !judgedOther.beatsPrior() {
		t.cfg.Logger.WarnContext(ctx, "the hold-out's log-loss does not beat that of the prior: trying the next candidate",
			"estimator", other.candidate.Describe(), "test_log_loss", judgedOther.test.LogLoss, "prior", judgedOther.priorLogLoss)
		var ok bool
		if other, ok, err = other.next(ctx, p, t.cfg.Workers, told); !ok || err != nil {
			return f, j, err
		}
		if judgedOther, err = judge(ctx, p, other, t.cfg.Now()); err != nil {
			return f, j, err
		}
	}
	return other, judgedOther, nil
}
