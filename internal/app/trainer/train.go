package trainer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/training"
)

// request are the flags that say what to train.
type request struct {
	Params string `placeholder:"FILE" help:"The parameters; params.yaml by default."`
	Data   string `placeholder:"FILE" help:"The data: a CSV file with a header, or a .dvc pointer to one. Overrides the parameters."`
	tableFlags
}

// tableFlags are the flags that say what is in the data.
type tableFlags struct {
	Label    string   `placeholder:"COLUMN" help:"The column to predict: its name, or its position from 1, from the end negative. Overrides the parameters."`
	Task     string   `placeholder:"TASK" help:"What to learn: classification. Found out by the label where it is left out."`
	Drop     []string `placeholder:"COLUMN" sep:"none" help:"A column to leave out; may be given several times."`
	NoHeader bool     `help:"The first line is a row already; the columns are c1, c2 and so on."`
	Set      []string `placeholder:"KEY=VALUE" sep:"none" help:"Any parameter, such as columns.zip=category, missing=[?] or n_splits=3; may be given several times."`
}

type trainCommand struct {
	request

	Force           bool   `help:"Train even if the champion has the same data, parameters and code."`
	AllowUnpromoted bool   `help:"Exit with 0 also when the gate refuses the model (for dvc repro)."`
	Metrics         string `placeholder:"FILE" help:"Write the figures as JSON, for dvc metrics. Needs a training: see --force."`
	Plots           string `placeholder:"FOLDER" help:"Write predictions.csv and roc.csv, for dvc plots. Needs a training: see --force."`
}

// Help is shown by "trainer train --help".
func (*trainCommand) Help() string {
	return `Exit codes: 0 promoted or nothing to do, 1 failure, 2 bad input or usage, 3 refused by the gate.

Examples:
  trainer train
  trainer train --data flowers.csv --label species
  trainer train --data german.data --label -1 --set columns.c8=category
  trainer train --force`
}

// Run trains once.
func (c *trainCommand) Run(ctx context.Context, process *Process) error {
	progress, done := progressBar(process.Stderr)
	a, err := newApp(process, "train", progress, settings.IsTerminal(process.Stderr))
	if err != nil {
		return err
	}
	req, err := c.load(process.Dir)
	if err != nil {
		return err
	}
	req.Force = c.Force
	result, err := a.trainer.Train(ctx, req)
	done()
	if err != nil {
		return err
	}
	training.LogResult(ctx, a.log, result)
	printResult(process.Stdout, a.settings.ModelName, result)
	if err := c.write(process.Dir, result); err != nil {
		return err
	}
	if result.Outcome == training.Refused && !c.AllowUnpromoted {
		return errRefused
	}
	return nil
}

// write leaves the figures and tables that were asked for.
func (c *trainCommand) write(dir string, result training.Result) error {
	if result.Outcome == training.Unchanged {
		return nil
	}
	if c.Metrics != "" {
		if err := writeJSON(within(dir, c.Metrics), result.Metrics); err != nil {
			return err
		}
	}
	if c.Plots == "" {
		return nil
	}
	for name, content := range result.Plots {
		if err := writeFile(filepath.Join(within(dir, c.Plots), name), content); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON writes a value as indented JSON, keys sorted.
func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, append(content, '\n'))
}

// writeFile writes a file whole or not at all, and makes its folder.
func writeFile(path string, content []byte) error {
	err := os.MkdirAll(filepath.Dir(path), 0o750)
	if err == nil {
		err = atomicfile.Write(path, content, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// load reads the parameters and lays the flags over them.
func (r *request) load(dir string) (training.Request, error) {
	file := cmp.Or(r.Params, "params.yaml")
	params, err := training.ReadParams(within(dir, file))
	switch {
	case errors.Is(err, os.ErrNotExist) && r.Params == "" && r.Data != "":
		params = training.DefaultParams() // the flags say all that has no default
	case err != nil:
		return training.Request{}, err
	}
	if r.Data != "" {
		params.Data = within(dir, r.Data)
	}
	if err := r.apply(&params); err != nil {
		return training.Request{}, err
	}
	return training.Request{Params: params, ParamsFile: file, Commit: training.Commit(dir)}, nil
}

// apply lays the flags over the parameters.
func (f *tableFlags) apply(params *training.Params) error {
	for _, setting := range f.Set {
		if err := params.Set(setting); err != nil {
			return err
		}
	}
	params.Label, params.Task = cmp.Or(f.Label, params.Label), cmp.Or(f.Task, params.Task)
	params.Drop = append(params.Drop, f.Drop...)
	if f.NoHeader {
		header := false
		params.Header = &header
	}
	return nil
}

// within is path as it is meant from dir.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// printResult tells a person how the training ended.
func printResult(w io.Writer, model string, r training.Result) {
	if r.Outcome == training.Unchanged {
		_, _ = fmt.Fprintf(w, "Nothing to do: %s version %s is the champion and comes from the same data, parameters and code (--force trains anyway).\n", model, r.Version.Number)
		return
	}
	_, _ = fmt.Fprintf(w, "%s: %d rows, %d features, %d classes\n", r.Data, r.Rows, r.Features, r.Classes)
	_, _ = fmt.Fprintf(w, "%s: hold-out accuracy %.4f, log-loss %.4f\n", r.Estimator, r.Accuracy, r.LogLoss)
	_, _ = fmt.Fprintf(w, "Gate: %s\n", settings.Printable(r.Verdict.String()))
	switch {
	case r.Outcome == training.Promoted:
		_, _ = fmt.Fprintf(w, "%s version %s is now the champion (run %s).\n", model, r.Version.Number, r.RunID)
	case r.Version.Number != "":
		_, _ = fmt.Fprintf(w, "%s version %s stays the champion (run %s).\n", model, r.Version.Number, r.RunID)
	default:
		_, _ = fmt.Fprintf(w, "%s has no champion yet (run %s).\n", model, r.RunID)
	}
}

// progressBar shows the steps of a training where w is a terminal; elsewhere the
// log does. done clears the bar.
func progressBar(w io.Writer) (progress func(training.Progress), done func()) {
	if !settings.IsTerminal(w) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(-1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)
	progress = func(p training.Progress) {
		what := p.Step
		if p.Iteration > 0 {
			what = fmt.Sprintf("%s, iteration %d", p.Step, p.Iteration)
		}
		bar.ChangeMax(p.Total)
		bar.Describe(what)
		_ = bar.Set(p.Done)
	}
	return progress, func() { _ = bar.Clear() }
}
