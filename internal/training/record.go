package training

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
)

// A recorder writes to the registry what a training comes to.
type recorder struct{ *promotion.Promoter }

// start opens the run of a training, named after the data and the time.
func (r recorder) start(ctx context.Context, p prepared, now time.Time) (registry.Run, error) {
	run, err := r.Registry.StartRun(ctx, registry.RunSpec{
		Name:        p.data.Name + "-" + now.UTC().Format("20060102-150405"),
		Description: fmt.Sprintf("Training of %s on %s.", r.Model, p.source.path),
		User:        r.User,
		Source:      r.Source,
		Commit:      p.commit,
		Tags:        p.source.tags(),
	})
	if err != nil {
		return nil, fmt.Errorf("start a run: %w", err)
	}
	return run, nil
}

// inputs logs what the training starts from: parameters and data.
func (recorder) inputs(ctx context.Context, run registry.Run, p prepared) error {
	params := []registry.Param{
		{Key: "data", Value: p.source.path},
		{Key: "label", Value: p.params.Label},
		{Key: "test_size", Value: number(p.params.TestSize)},
		{Key: "random_state", Value: strconv.FormatInt(p.params.RandomState, 10)},
		{Key: "n_splits", Value: strconv.Itoa(p.params.NSplits)},
		{Key: "scoring", Value: p.params.Scoring},
	}
	if len(p.params.Drop) > 0 { // pages of MLflow show an empty one as a fault
		params = append(params, registry.Param{Key: "drop", Value: strings.Join(p.params.Drop, ",")})
	}
	if err := run.LogParams(ctx, params); err != nil {
		return fmt.Errorf("log parameters: %w", err)
	}
	if err := run.LogDataset(ctx, describeData(p)); err != nil {
		return fmt.Errorf("log the data set: %w", err)
	}
	return nil
}

// report writes a report into its run, and the model with it.
func (r recorder) report(ctx context.Context, run registry.Run, what report) (registry.LoggedModel, error) {
	var none registry.LoggedModel
	if err := run.LogParams(ctx, what.params); err != nil {
		return none, fmt.Errorf("log parameters: %w", err)
	}
	if err := run.SetTags(ctx, what.tags); err != nil {
		return none, fmt.Errorf("log tags: %w", err)
	}
	if len(what.losses) > 0 {
		if err := run.LogMetrics(ctx, what.losses); err != nil {
			return none, fmt.Errorf("log the loss: %w", err)
		}
	}
	for _, c := range what.candidates {
		if err := r.candidate(ctx, run, c); err != nil {
			return none, err
		}
	}
	logged, err := run.LogModel(ctx, what.model)
	if err != nil {
		return none, fmt.Errorf("log the model: %w", err)
	}
	for i := range what.metrics {
		what.metrics[i].Model, what.metrics[i].Dataset = logged.ID, &what.data
	}
	if err := run.LogMetrics(ctx, what.metrics); err != nil {
		return none, fmt.Errorf("log metrics: %w", err)
	}
	for _, file := range what.files {
		if err := run.LogFile(ctx, file.Name, file.Content); err != nil {
			return none, fmt.Errorf("log %s: %w", file.Name, err)
		}
	}
	return logged, r.verdict(ctx, run, what.result.Verdict, what.gate)
}

// verdict logs what the gate said. It may say something else later: see
// [promotion.Promoter.Settle].
func (recorder) verdict(ctx context.Context, run registry.Run, v promotion.Verdict, figures []registry.Metric) error {
	err := run.LogMetrics(ctx, figures)
	if err == nil {
		err = run.SetTags(ctx, map[string]string{promotion.TagVerdict: v.String()})
	}
	if err != nil {
		return fmt.Errorf("log the verdict: %w", err)
	}
	return nil
}

// candidate makes the child run of a candidate.
func (r recorder) candidate(ctx context.Context, parent registry.Run, c candidateReport) error {
	spec := c.run
	spec.ParentID, spec.User, spec.Source = parent.ID(), r.User, r.Source
	child, err := r.Registry.StartRun(ctx, spec)
	if err != nil {
		return fmt.Errorf("start the run of candidate %s: %w", spec.Name, err)
	}
	if err = child.LogParams(ctx, c.params); err == nil {
		err = child.LogMetrics(ctx, c.metrics)
	}
	if err == nil {
		err = child.Finish(ctx, registry.Finished)
	}
	if err != nil {
		r.abandon(ctx, child, err)
		return fmt.Errorf("log candidate %s: %w", spec.Name, err)
	}
	return nil
}

// register makes a version of the model: a promoted one, which it returns, or
// the challenger. One that is not worth keeping it leaves to its run.
func (r recorder) register(ctx context.Context, logged registry.LoggedModel, what report) (*registry.Version, error) {
	asked := what.version
	asked.Name, asked.Model = r.Model, logged
	switch {
	case what.result.Verdict.Promote:
		v, err := r.Registry.Register(ctx, asked)
		if err != nil {
			return nil, fmt.Errorf("register the model: %w", err)
		}
		return &v, nil
	case what.result.Verdict.Keep:
		return nil, r.RegisterChallenger(ctx, asked)
	}
	return nil, nil //nolint:nilnil // nothing was promoted
}

// Bounds of the last call of a run that did not finish. An interruption ends in
// a second.
const (
	failTimeout = 10 * time.Second
	killTimeout = time.Second
)

// abandon marks a run as failed or killed. The training's own context may be
// over, so this has its own.
func (r recorder) abandon(ctx context.Context, run registry.Run, cause error) {
	status, timeout := registry.Failed, failTimeout
	if ctx.Err() != nil {
		status, timeout = registry.Killed, killTimeout
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := run.Finish(end, status); err != nil {
		r.Logger.WarnContext(end, "cannot mark the run", "run", run.ID(), "status", string(status), "error", err)
		return
	}
	r.Logger.WarnContext(end, "training did not finish, the champion is untouched", "run", run.ID(), "status", string(status), "error", cause)
}
