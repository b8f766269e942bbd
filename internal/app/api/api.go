// Package api assembles the API: what is wired to what, in which order it
// starts and stops, and the commands of its binary.
package api

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/version"
)

// A Process is what the program sees of the world around it.
type Process = process.Process

// pasteable is a command of this program as a shell takes it.
func pasteable(program, arguments string) string {
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
	TryModel    process.TryModel   `cmd:"" hidden:"" help:"Try a model for the program that started this one."`
}

const description = `Petal's API serves the model that an alias of a model registry points at, to users that log in.
Settings come from the environment and from a .env file; .env.example lists them.`

// Run runs the command that args name and returns the exit code: 0 for success,
// 1 for a failure, 2 for bad usage or settings. What went wrong stands on
// standard error, a line each. It ends in order when ctx does.
func Run(ctx context.Context, args []string, p Process) int {
	return process.Program{
		Name: "api", Description: description, Commands: &commands{},
		Settings: process.Settings[settings.API], Vars: kong.Vars{"model_argument": modelArgument},
	}.Run(ctx, args, p)
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(p *Process) error {
	_, err := fmt.Fprintln(p.Stdout, "api", version.Current())
	return err
}

type healthcheckCommand struct{}

// Run asks GET /ready of the API that listens on API_ADDRESS.
func (healthcheckCommand) Run(ctx context.Context, p *Process, cfg settings.API) error {
	if err := process.CheckHealth(ctx, cfg.Address, cfg.TLS(), "/ready"); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.Stdout, "ready")
	return err
}
