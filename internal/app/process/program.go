// Package process is what the two programs share: what they see of the world, how
// a command line is read, how an error ends a program, how a server listens and
// is asked for its health, and how much memory it may use.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/petal-ml/petal/internal/settings"
)

// The exit codes that every program has.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 2 // bad usage, settings or input
)

// A Process is what a program sees of the world around it.
type Process struct {
	// Name is how the program was started, such as bin/api or /app: hints name
	// commands that can be pasted. Empty means the program's own name.
	Name string
	// Try runs this program again, such that it tries a model: its TryModel command.
	// Where it is empty, as in tests, models are opened in this process alone.
	Try     []string
	Dir     string   // where .env, mlflow.yaml and params.yaml are looked up
	Environ []string // as os.Environ gives it
	Stdin   *os.File // passwords are read from it, without echo on a terminal
	Stdout  io.Writer
	Stderr  io.Writer

	level *slog.LevelVar
}

// Getenv looks a variable up in the process's environment alone, not in .env.
func (p *Process) Getenv(name string) string {
	value := ""
	for _, entry := range p.Environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// Logger writes to standard error as cfg says. A quiet one serves somebody who
// waits at a terminal: it leaves out what is merely of interest.
func (p *Process) Logger(cfg settings.Log, quiet bool) *slog.Logger {
	if quiet && cfg.Level.Level() == slog.LevelInfo {
		cfg.Level = settings.LogLevel(slog.LevelWarn)
	}
	if p.level == nil {
		p.level = new(slog.LevelVar)
	}
	p.level.Set(cfg.Level.Level())
	return settings.Logger(p.Stderr, cfg.Format, p.level)
}

// SetLogLevel changes what the logs of [Process.Logger] hold from now on.
func (p *Process) SetLogLevel(level slog.Leveler) { p.level.Set(level.Level()) }

// Main runs a program in the process that the system has started, and returns
// its exit code. The program ends in order after the first signal. The second one
// has its default effect: the process ends at once.
func Main(run func(context.Context, []string, Process) int) int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	return run(ctx, os.Args[1:], Process{
		Name:    os.Args[0],
		Try:     []string{self(), "try-model"},
		Dir:     ".",
		Environ: os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	})
}

// A Program is a command line.
type Program struct {
	Name        string
	Description string
	// Commands points at a struct as kong reads it. The Run methods of its
	// commands may ask for a context.Context, a *Process and what Settings gives.
	Commands any
	Settings any       // a function as [Settings], called when a command asks for its result; nil for none
	Vars     kong.Vars // what ${…} in the tags of Commands stands for
	// Interrupted takes the place of whatever error a command ends with once the
	// context has ended. Nil leaves the error as it is.
	Interrupted error
	// ExitCode gives an error of a command its exit code. Faults of the settings
	// never come here. Nil means [ExitFailure] for all.
	ExitCode func(error) int
}

// Settings reads the settings of a program from its environment and folder.
func Settings[T any](p *Process) (T, error) { return settings.Load[T](p.Dir, p.Environ) }

// Run runs the command that args name and returns the exit code. What went wrong
// stands on standard error, a line each. The command ends in order when ctx does.
func (g Program) Run(ctx context.Context, args []string, p Process) int {
	var exited *int
	options := []kong.Option{
		kong.Name(g.Name), kong.Description(g.Description), kong.Writers(p.Stdout, p.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { exited = &code }), g.Vars,
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&p),
	}
	if g.Settings != nil {
		options = append(options, kong.BindToProvider(g.Settings))
	}
	parser, err := kong.New(g.Commands, options...)
	if err != nil { // the struct is wrong: a fault of the program
		return g.report(p.Stderr, fmt.Errorf("command line: %w", err))
	}
	chosen, err := parser.Parse(args)
	switch {
	case exited != nil: // --help has been printed
		return *exited
	case err != nil:
		_, _ = fmt.Fprintf(p.Stderr, "%s: %s; %s --help shows the commands\n", g.Name, err, g.Name)
		return ExitUsage
	}
	err = chosen.Run()
	if err != nil && ctx.Err() != nil && g.Interrupted != nil {
		err = g.Interrupted
	}
	return g.report(p.Stderr, err)
}

// report prints an error and returns the exit code: what is wrong with the input
// a line each, any other error on one line.
func (g Program) report(w io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	code := g.exitCode(err)
	text := strings.TrimSpace(err.Error())
	if code != ExitUsage {
		text = strings.ReplaceAll(text, "\n", "; ")
	}
	for line := range strings.Lines(text) {
		_, _ = fmt.Fprintf(w, "%s: %s\n", g.Name, settings.Printable(strings.TrimSpace(line)))
	}
	return code
}

func (g Program) exitCode(err error) int {
	var faults settings.Faults
	var fault settings.Fault
	switch {
	case errors.As(err, &faults), errors.As(err, &fault):
		return ExitUsage
	case g.ExitCode != nil:
		return g.ExitCode(err)
	}
	return ExitFailure
}
