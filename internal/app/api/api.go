// Package api assembles the API: what is wired to what, in which order it
// starts and stops, and the commands of its binary.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/version"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// A Process is what the program sees of the world around it.
type Process struct {
	// Name is how this program was started, such as bin/api or /app: hints name
	// commands that can be pasted. Empty means api.
	Name    string
	Dir     string   // where .env and mlflow.yaml are looked up
	Environ []string // as os.Environ gives it
	Stdin   *os.File // passwords are read from it, without echo on a terminal
	Stdout  io.Writer
	Stderr  io.Writer
}

// command is a command of this program as a shell takes it.
func command(program, arguments string) string {
	if program == "" {
		program = "api"
	}
	if strings.ContainsFunc(program, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+@", r)
	}) {
		program = quote(program)
	}
	return program + " " + arguments
}

// getenv looks a variable up in the process's environment alone.
func (p *Process) getenv(name string) string {
	value := ""
	for _, entry := range p.Environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// commands is the command line.
type commands struct {
	Serve       serveCommand       `cmd:"" help:"Serve the model of the registry over HTTP."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a running API whether it is ready; exit 0 if so, 1 if not."`
	User        userCommands       `cmd:"" help:"Look after the users of the API."`
	Key         keyCommands        `cmd:"" help:"Look after the API keys of machines."`
	Token       tokenCommands      `cmd:"" help:"End access tokens, and change the key that signs them."`
	Model       modelCommands      `cmd:"" help:"Look at a model before it serves, and score rows offline."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the users' database up to date. serve does so by itself."`
	Backup      backupCommand      `cmd:"" help:"Save the users' database to a new file while the API runs (SQLite)."`
	Version     versionCommand     `cmd:"" help:"Print the version of this program."`
}

const description = `Petal's API serves the model that an alias of a model registry points at, to users that log in.
Settings come from the environment and from a .env file; .env.example lists them.`

// Run runs the command that args name and returns the exit code: 0 for success,
// 1 for a failure, 2 for bad usage or settings. What went wrong stands on
// standard error, a line each. It ends in order when ctx does.
func Run(ctx context.Context, args []string, p Process) int {
	var (
		cli    commands
		exited *int
	)
	parser, err := kong.New(&cli,
		kong.Name("api"), kong.Description(description), kong.Writers(p.Stdout, p.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { exited = &code }),
		kong.Vars{"model_argument": modelArgument},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&p),
	)
	if err != nil { // the struct above is wrong: a fault of the program
		return report(p.Stderr, fmt.Errorf("command line: %w", err))
	}
	command, err := parser.Parse(args)
	switch {
	case exited != nil: // --help has been printed
		return *exited
	case err != nil:
		_, _ = fmt.Fprintf(p.Stderr, "api: %s; api --help shows the commands\n", err)
		return exitUsage
	}
	return report(p.Stderr, command.Run())
}

// report prints an error, every fault on a line of its own.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var faults settings.Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			_, _ = fmt.Fprintln(w, "api:", f)
		}
		return exitUsage
	}
	var fault settings.Fault
	if errors.As(err, &fault) {
		_, _ = fmt.Fprintln(w, "api:", fault)
		return exitUsage
	}
	_, _ = fmt.Fprintln(w, "api:", oneLine(err))
	return exitFailure
}

// oneLine folds an error that spans lines, such as a joined one.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(p *Process) error {
	_, err := fmt.Fprintln(p.Stdout, "api", version.Current())
	return err
}
