// Package trainer assembles the trainer's binary: commands, settings, registry,
// pipeline and, for "serve", the server of its health and metrics.
package trainer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os/user"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/training"
	"github.com/petal-ml/petal/internal/training/pictures"
)

// exitRefused is the exit code of a training that the gate refused.
const exitRefused = 3

// A Process is what the program sees of the world around it.
type Process = process.Process

const description = `Trains a model on a CSV file, judges it on rows it has not seen, and promotes it to "champion" in the model registry, where the API finds it.

Start with "trainer train". It reads params.yaml (data, label column, candidates), gets the data by their DVC pointer, and does nothing when the champion comes from the same data, parameters and code.

Settings come from the environment and from .env; see .env.example. Without MLFLOW_TRACKING_URI the registry is a folder, named in mlflow.yaml.`

// commands are what the program can be told to do.
type commands struct {
	Train       trainCommand       `cmd:"" help:"Train once, and promote the model if the gate lets it pass."`
	Serve       serveCommand       `cmd:"" help:"Stay up: train now if something changed, then on the schedule of TRAIN_SCHEDULE."`
	Check       checkCommand       `cmd:"" help:"Show a profile of the data and what is wrong with them."`
	Compare     compareCommand     `cmd:"" help:"Hold one version against another on rows that neither was trained on."`
	List        listCommand        `cmd:"" help:"Show the versions of the model and their figures."`
	Promote     promoteCommand     `cmd:"" help:"Make a version the champion by hand."`
	Rollback    rollbackCommand    `cmd:"" help:"Make the previous champion the champion again."`
	Healthcheck healthcheckCommand `cmd:"" help:"Exit with 0 if a \"trainer serve\" answers on TRAINER_ADDRESS."`
	Version     versionCommand     `cmd:"" help:"Show the version of this program."`
	TryModel    process.TryModel   `cmd:"" hidden:"" help:"Try a model for the program that started this one."`
}

// Run runs the command that args name and returns the exit code: 0 promoted or
// nothing to do, 1 failure, 2 bad input or usage, 3 refused by the gate. What
// went wrong stands on standard error, a line each.
func Run(ctx context.Context, args []string, p Process) int {
	return process.Program{
		Name: "trainer", Description: description, Commands: &commands{}, Settings: process.Settings[settings.Trainer],
		Interrupted: errInterrupted, ExitCode: exitCode,
	}.Run(ctx, args, p)
}

var (
	// errRefused ends a training that the gate refused.
	errRefused = errors.New("the gate refused the model; with --allow-unpromoted that is no failure")
	// errInterrupted takes the place of whatever an interruption broke.
	errInterrupted = errors.New("interrupted")
)

func exitCode(err error) int {
	switch {
	case errors.Is(err, errRefused):
		return exitRefused
	case training.IsInput(err):
		return process.ExitUsage
	}
	return process.ExitFailure
}

// app is what the commands share.
type app struct {
	process  *Process
	settings settings.Trainer
	log      *slog.Logger
	metrics  *prometheus.Registry
	promoter *promotion.Promoter
	trainer  *training.Trainer
}

// newApp reads the settings and opens the registry. command is named on runs.
func newApp(p *Process, command string, progress func(training.Progress), quiet bool) (*app, error) {
	cfg, err := settings.Load[settings.Trainer](p.Dir, p.Environ)
	if err != nil {
		return nil, err
	}
	a := &app{process: p, settings: cfg, log: p.Logger(cfg.Log, quiet), metrics: process.NewMetrics()}
	p.LimitMemory(a.log)
	reg, err := process.OpenRegistryToWrite(cfg.Registry, p.Dir, within(p.Dir, cfg.StateDir), a.log)
	if err != nil {
		return nil, err
	}
	a.promoter = &promotion.Promoter{
		Registry: reg, Model: cfg.ModelName,
		Source: "trainer " + command, User: userName(), Logger: a.log, Opener: p.Opener(),
	}
	a.trainer = training.New(training.Config{
		Promoter: *a.promoter,
		DVC:      dvc.Options{Getenv: a.getenv, Scratch: within(p.Dir, filepath.Join(cfg.StateDir, "data"))},
		Metrics:  training.NewMetrics(a.metrics), Progress: progress, Draw: pictures.Draw,
	})
	return a, nil
}

// getenv looks a variable up in the environment, and those of the storage in
// .env too.
func (a *app) getenv(name string) string {
	aws := a.settings.AWS
	return cmp.Or(a.process.Getenv(name), map[string]string{
		"AWS_ACCESS_KEY_ID":     aws.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": aws.SecretAccessKey.Reveal(),
		"AWS_DEFAULT_REGION":    aws.DefaultRegion,
		"AWS_ENDPOINT_URL":      aws.EndpointURL,
	}[name])
}

// userName is who runs the program, as runs show it.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "trainer"
}
