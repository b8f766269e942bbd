package training

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/training/pictures"
)

// Aliases that trainings move.
const (
	// Champion is the version to serve.
	Champion = "champion"
	// Challenger is the newest version that the gate found worse than the
	// champion. It stands by for a look, or a promotion by hand.
	Challenger = "challenger"
	// Previous is the champion before, which a rollback returns to.
	Previous = "previous"
)

// Config is what a [Trainer] works with.
type Config struct {
	Registry registry.Registry
	// Model is the name that versions are registered under.
	Model string
	// Source and User are shown on runs: the program and who called it.
	Source, User string
	// DVC says how data are pulled; its logger is the one below when nil.
	DVC     dvc.Options
	Logger  *slog.Logger
	Metrics *Metrics
	// Progress is told of each step that is done; nil for nobody.
	Progress func(Progress)
	// Draw makes the pictures of a run; nil for none.
	Draw func(*pictures.Subject) ([]pictures.Picture, error)
	// Workers is the number of goroutines that compute; 0 means GOMAXPROCS.
	Workers int
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Progress tells how far a training is.
type Progress struct {
	Step        string // what was just done, or is being done
	Done, Total int    // steps
	// Iteration counts within the step; 0 where the step is done.
	Iteration int
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

// A Request asks for one training.
type Request struct {
	Params Params
	// ParamsFile names the parameters' file in messages.
	ParamsFile string
	// Commit is the Git commit of the work tree, empty when unknown.
	Commit string
	// Force trains even where the champion has the same fingerprint.
	Force bool
}

// Outcome is how a training ended that did not fail.
type Outcome string

// The outcomes, by the names that the metrics have.
const (
	Promoted  Outcome = "promoted"
	Unchanged Outcome = "unchanged"
	Refused   Outcome = "refused"
	failure   Outcome = "failure"
)

// A Result is what a training came to.
type Result struct {
	Outcome Outcome
	// Version is the champion after it: the new one, or the one that stayed.
	// It is the zero value where there is none.
	Version registry.Version
	RunID   string // empty where nothing was trained
	Verdict Verdict

	Data      string // the file
	Rows      int
	Features  int
	Classes   int
	Estimator string // with its parameters
	Accuracy  float64
	LogLoss   float64 // of the hold-out

	// Metrics are the figures by the names that the run has them under. Plots are
	// CSV files by name, for whoever draws: "predictions.csv" with the columns
	// actual and predicted, and "roc.csv" with class, fpr and tpr.
	Metrics map[string]float64
	Plots   map[string][]byte
}

// job is one training under way.
type job struct {
	params      Params
	candidates  []Candidate
	commit      string
	source      source
	fingerprint string
	champion    *registry.Version // nil for none

	data           *dataset.Dataset
	training, test part

	progress    func(Progress)
	done, total int
	told        time.Time // of the last iteration that was told
}

// iterate tells how far the step under way is. Every caller is bounded by
// tellEvery, so that a fit of many short iterations does not wait for a terminal.
func (j *job) iterate(what string, iteration int) {
	if now := time.Now(); now.Sub(j.told) >= tellEvery {
		j.told = now
		j.progress(Progress{Step: what, Done: j.done, Total: j.total, Iteration: iteration})
	}
}

// tellEvery is how often a person looks.
const tellEvery = 100 * time.Millisecond

// step tells that another step is done.
func (j *job) step(what string) {
	j.done++
	j.progress(Progress{Step: what, Done: j.done, Total: j.total})
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

func (t *Trainer) train(ctx context.Context, req Request) (Result, error) {
	j, err := t.newJob(ctx, req)
	if err != nil {
		return Result{}, err
	}
	if !req.Force && t.isCurrent(ctx, j) {
		return Result{Outcome: Unchanged, Version: *j.champion, Data: j.source.path}, nil
	}
	if err := j.read(ctx); err != nil {
		return Result{}, err
	}
	t.cfg.Metrics.rows.Set(float64(j.data.Rows()))
	t.cfg.Logger.InfoContext(ctx, "training", "data", j.source.path, "md5", j.source.md5, "from", j.source.from,
		"rows", j.data.Rows(), "features", len(j.data.Features), "classes", j.data.Classes.Len(), "holdout", len(j.test.y))
	return t.recorded(ctx, j)
}

// newJob checks the request, brings the data into place and asks for the
// champion.
func (t *Trainer) newJob(ctx context.Context, req Request) (*job, error) {
	if err := req.Params.Validate(req.ParamsFile); err != nil {
		return nil, err
	}
	j := &job{params: req.Params, commit: req.Commit, progress: t.cfg.Progress, told: time.Now()}
	var faults []error
	if j.candidates, faults = req.Params.candidates(req.ParamsFile); faults != nil {
		return nil, errors.Join(faults...) // Validate has found none
	}
	j.total = 5 + len(j.candidates)*req.Params.NSplits // verify, read, fit, evaluate, promote, and the folds

	var err error
	if j.source, err = locate(ctx, req.Params.Data, t.cfg.DVC); err != nil {
		return nil, err
	}
	j.step("verify " + j.source.path)
	if j.fingerprint, err = fingerprint(j.source.md5, j.params, j.candidates); err != nil {
		return nil, err
	}
	j.champion, err = t.champion(ctx)
	return j, err
}

// read parses and splits the data.
func (j *job) read(ctx context.Context) error {
	var err error
	if j.data, err = j.source.read(ctx, j.params, false); err != nil {
		return err
	}
	if j.data.MissingColumns() != nil {
		for i, c := range j.candidates {
			j.candidates[i] = c.ForMissing()
		}
	}
	if j.training, j.test, err = split(j.data, j.params); err != nil {
		return err
	}
	if err := checkFolds(j.data, j.training, j.params); err != nil {
		return err
	}
	j.step("read " + j.source.path)
	return nil
}

// champion returns the version behind the alias, nil where there is none.
func (t *Trainer) champion(ctx context.Context) (*registry.Version, error) {
	v, err := t.cfg.Registry.Resolve(ctx, t.cfg.Model, Champion)
	t.cfg.Metrics.setRegistryUp(err == nil || errors.Is(err, registry.ErrNotFound))
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil, nil //nolint:nilnil // no champion is a valid answer
	case err != nil:
		return nil, fmt.Errorf("ask for the champion: %w", err)
	}
	return &v, nil
}

// isCurrent tells whether the champion was trained from the same data,
// parameters and code, and is still whole.
func (t *Trainer) isCurrent(ctx context.Context, j *job) bool {
	if j.champion == nil || j.champion.Tags[registry.TagFingerprint] != j.fingerprint {
		return false
	}
	if err := t.checkFiles(ctx, *j.champion); err != nil {
		t.cfg.Logger.WarnContext(ctx, "the champion is damaged, training anew", "version", j.champion.Number, "error", err)
		return false
	}
	return true
}

// checkFiles makes sure that a version still has its model file, of the size it
// was registered with.
func (t *Trainer) checkFiles(ctx context.Context, v registry.Version) error {
	files, err := t.cfg.Registry.Files(ctx, v)
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

// recorded trains within a run of the registry, which it ends in any case.
func (t *Trainer) recorded(ctx context.Context, j *job) (Result, error) {
	run, err := t.cfg.Registry.StartRun(ctx, registry.RunSpec{
		Name:        j.data.Name + "-" + t.cfg.Now().UTC().Format("20060102-150405"),
		Description: fmt.Sprintf("Training of %s on %s.", t.cfg.Model, j.source.path),
		User:        t.cfg.User,
		Source:      t.cfg.Source,
		Commit:      j.commit,
		Tags:        j.dvcTags(),
	})
	if err != nil {
		return Result{}, fmt.Errorf("start a run: %w", err)
	}
	made, err := t.inRun(ctx, run, j)
	if err != nil {
		t.abandon(ctx, run, err)
		return Result{}, err
	}
	if made.result.Outcome == Refused {
		return made.result, nil
	}
	// The run stands as finished whatever happens now: all it promised is done.
	if err := t.setChampion(ctx, *made.version, j.champion); err != nil {
		return Result{}, err
	}
	j.step("promote version " + made.version.Number)
	made.result.Version = *made.version
	t.clearChallenger(ctx, *made.version)
	return made.result, nil
}

// outcome is what a run has left: version is nil where nothing was registered.
type outcome struct {
	result  Result
	version *registry.Version
}

// Bounds of the last call of a run that did not finish. An interruption ends in
// a second.
const (
	failTimeout = 10 * time.Second
	killTimeout = time.Second
)

// abandon marks a run as failed or killed. The training's own context may be
// over, so this has its own.
func (t *Trainer) abandon(ctx context.Context, run registry.Run, cause error) {
	status, timeout := registry.Failed, failTimeout
	if ctx.Err() != nil {
		status, timeout = registry.Killed, killTimeout
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := run.Finish(end, status); err != nil {
		t.cfg.Logger.WarnContext(end, "cannot mark the run", "run", run.ID(), "status", string(status), "error", err)
		return
	}
	t.cfg.Logger.WarnContext(end, "training did not finish, the champion is untouched", "run", run.ID(), "status", string(status), "error", cause)
}

// inRun fits, logs, judges, and registers what passes the gate. The order of its
// writes is the promise of this package: see its documentation.
func (t *Trainer) inRun(ctx context.Context, run registry.Run, j *job) (outcome, error) {
	if err := t.logInputs(ctx, run, j); err != nil {
		return outcome{}, err
	}
	f, err := t.fit(ctx, j)
	if err != nil {
		return outcome{}, err
	}
	for name, value := range finite(figures(f.test)) {
		t.cfg.Metrics.holdout.WithLabelValues(name).Set(value)
	}
	verdict, err := t.judgeGate(ctx, j, f)
	if err != nil {
		return outcome{}, err
	}
	logged, err := t.logResults(ctx, run, j, f)
	if err != nil {
		return outcome{}, err
	}
	if err := t.logVerdict(ctx, run, verdict); err != nil {
		return outcome{}, err
	}

	result := Result{
		Outcome: Refused, RunID: run.ID(), Verdict: verdict,
		Data: j.source.path, Rows: j.data.Rows(), Features: len(j.data.Features), Classes: j.data.Classes.Len(),
		Estimator: f.candidate.Describe(), Accuracy: f.test.Accuracy, LogLoss: f.test.LogLoss,
		Metrics: finite(f.allFigures(j)), Plots: f.tables(j),
	}
	if j.champion != nil {
		result.Version = *j.champion
	}
	if !verdict.Promote && !verdict.worthKeeping {
		return outcome{result: result}, finish(ctx, run)
	}
	version, err := t.register(ctx, j, f, logged, verdict)
	if err != nil {
		return outcome{}, err
	}
	if verdict.Promote {
		result.Outcome = Promoted
	}
	return outcome{result, version}, finish(ctx, run)
}

// register makes a version of the model. One that the gate refused becomes the
// challenger, unless it is that already: a trainer that starts every day need
// not register the same model every day.
func (t *Trainer) register(ctx context.Context, j *job, f *fitted, logged registry.LoggedModel, verdict Verdict) (*registry.Version, error) {
	asked := j.registration(t.cfg.Model, f, logged, verdict)
	if !verdict.Promote {
		v, err := t.cfg.Registry.Resolve(ctx, t.cfg.Model, Challenger)
		if err == nil && v.Tags[registry.TagSHA256] == asked.Tags[registry.TagSHA256] {
			return &v, nil
		}
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			return nil, fmt.Errorf("ask for the challenger: %w", err)
		}
	}
	v, err := t.cfg.Registry.Register(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("register the model: %w", err)
	}
	if !verdict.Promote {
		if err := t.cfg.Registry.SetAlias(ctx, t.cfg.Model, Challenger, v.Number); err != nil {
			return nil, fmt.Errorf("make version %s the challenger: %w", v.Number, err)
		}
	}
	return &v, nil
}

// clearChallenger removes the alias from a version that became the champion. It
// is told after the fact, so a failure only leaves a stale alias.
func (t *Trainer) clearChallenger(ctx context.Context, v registry.Version) {
	old, err := t.cfg.Registry.Resolve(ctx, t.cfg.Model, Challenger)
	if err == nil && old.Number == v.Number {
		err = t.cfg.Registry.DeleteAlias(ctx, t.cfg.Model, Challenger)
	}
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		t.cfg.Logger.WarnContext(ctx, "cannot remove the alias", "alias", Challenger, "version", v.Number, "error", err)
	}
}

func finish(ctx context.Context, run registry.Run) error {
	if err := run.Finish(ctx, registry.Finished); err != nil {
		return fmt.Errorf("finish the run: %w", err)
	}
	return nil
}

// setChampion moves the aliases, that of the champion last.
func (t *Trainer) setChampion(ctx context.Context, v registry.Version, old *registry.Version) error {
	if old != nil && old.Number != v.Number {
		if err := t.cfg.Registry.SetAlias(ctx, t.cfg.Model, Previous, old.Number); err != nil {
			return fmt.Errorf("keep version %s as %s: %w", old.Number, Previous, err)
		}
	}
	if err := t.cfg.Registry.SetAlias(ctx, t.cfg.Model, Champion, v.Number); err != nil {
		return fmt.Errorf("promote version %s: %w", v.Number, err)
	}
	return nil
}
