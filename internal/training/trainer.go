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
	champion, err := t.champion(ctx)
	if err != nil {
		return Result{}, err
	}
	if !req.Force && t.isCurrent(ctx, champion, asked) {
		return Result{Outcome: Unchanged, Version: *champion, Data: asked.source.path}, nil
	}
	p, err := prepare(ctx, asked)
	if err != nil {
		return Result{}, err
	}
	told.step("read " + p.source.path)
	t.cfg.Metrics.rows.Set(float64(p.data.Rows()))
	t.cfg.Logger.InfoContext(ctx, "training", "data", p.source.path, "md5", p.source.md5, "from", p.source.from,
		"rows", p.data.Rows(), "features", len(p.data.Features), "classes", len(p.classes), "holdout", len(p.test.y))

	to := recorder{&t.cfg.Promoter}
	run, err := to.start(ctx, p, t.cfg.Now())
	if err != nil {
		return Result{}, err
	}
	result, promoted, err := t.inRun(ctx, run, to, p, champion, told)
	if err != nil {
		to.abandon(ctx, run, err)
		return Result{}, err
	}
	if promoted == nil {
		return result, nil
	}
	// The run stands as finished whatever happens now: all it promised is done.
	if err := t.cfg.SetChampion(ctx, *promoted, champion); err != nil {
		return Result{}, err
	}
	told.step("promote version " + promoted.Number)
	result.Version = *promoted
	return result, nil
}

// champion returns the version behind the alias, nil where there is none, and
// tells the metrics whether the registry answered.
func (t *Trainer) champion(ctx context.Context) (*registry.Version, error) {
	v, err := t.cfg.Champion(ctx)
	t.cfg.Metrics.setRegistryUp(err == nil)
	return v, err
}

// isCurrent tells whether the champion was trained from the same data,
// parameters and code, and is still whole.
func (t *Trainer) isCurrent(ctx context.Context, champion *registry.Version, asked task) bool {
	if champion == nil || champion.Tags[registry.TagFingerprint] != asked.fingerprint {
		return false
	}
	if err := t.cfg.CheckFiles(ctx, *champion); err != nil {
		t.cfg.Logger.WarnContext(ctx, "the champion is damaged, training anew", "version", champion.Number, "error", err)
		return false
	}
	return true
}

// inRun takes prepared data through the stages: fit, judge, report, record. Each
// hands its result on as a value, and only the last one writes. promoted is nil
// where the gate refused the model.
func (t *Trainer) inRun(ctx context.Context, run registry.Run, to recorder, p prepared, champion *registry.Version, told *progress) (result Result, promoted *registry.Version, err error) {
	if err := to.inputs(ctx, run, p); err != nil {
		return Result{}, nil, err
	}
	f, err := fit(ctx, p, t.cfg.Workers, told)
	if err != nil {
		return Result{}, nil, err
	}
	j, err := judge(ctx, p, f, t.cfg.Now())
	if err != nil {
		return Result{}, nil, err
	}
	told.step("evaluate")
	for name, value := range finite(figures(j.test)) {
		t.cfg.Metrics.holdout.WithLabelValues(name).Set(value)
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
	if promoted, err = to.register(ctx, logged, r); err != nil {
		return Result{}, nil, err
	}
	if err := run.Finish(ctx, registry.Finished); err != nil {
		return Result{}, nil, fmt.Errorf("finish the run: %w", err)
	}
	r.result.RunID = run.ID()
	return r.result, promoted, nil
}
