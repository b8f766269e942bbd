package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/settings"
)

var (
	errInput       = errors.New("line 2 is bad\nline 3 is bad")
	errTechnical   = errors.New("no disk\nno network")
	errHostile     = errors.New("label \"\x1b]0;owned\a\u202e\x9b2J\" of 95\u202f% é")
	errInterrupted = errors.New("interrupted")
)

type commands struct {
	Fail failCommand `cmd:"" help:"Fail."`
}

type failCommand struct {
	With string `arg:""`
}

func (c failCommand) Run(ctx context.Context, p *process.Process) error {
	switch c.With {
	case "input":
		return errInput
	case "setting":
		return settings.Faults{{Variable: "A", Problem: "is bad", Remedy: "mend it"}, {Variable: "B", Problem: "is bad", Remedy: "mend it"}}
	case "variable":
		return errors.New(p.Getenv("TOLD"))
	case "hostile":
		return errHostile
	case "nothing":
		return nil
	}
	return errors.Join(errTechnical, ctx.Err())
}

func TestRun(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		args []string
		code int
		err  string
	}{
		"no error":              {t.Context(), []string{"fail", "nothing"}, process.ExitOK, ""},
		"input, a line each":    {t.Context(), []string{"fail", "input"}, process.ExitUsage, "tool: line 2 is bad\ntool: line 3 is bad\n"},
		"settings":              {t.Context(), []string{"fail", "setting"}, process.ExitUsage, "tool: A: is bad; mend it\ntool: B: is bad; mend it\n"},
		"one line":              {t.Context(), []string{"fail", "technical"}, process.ExitFailure, "tool: no disk; no network\n"},
		"what a terminal obeys": {t.Context(), []string{"fail", "hostile"}, process.ExitFailure, "tool: label \"\\x1b]0;owned\\a\\u202e\\ufffd2J\" of 95\u202f% é\n"},
		"the last one counts":   {t.Context(), []string{"fail", "variable"}, process.ExitFailure, "tool: second\n"},
		"interrupted":           {ended, []string{"fail", "technical"}, process.ExitFailure, "tool: interrupted\n"},
		"ended, but no error":   {ended, []string{"fail", "nothing"}, process.ExitOK, ""},
		"an argument too many":  {t.Context(), []string{"fail", "a", "b"}, process.ExitUsage, "tool: unexpected argument b; tool --help shows the commands\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := process.Program{
				Name: "tool", Commands: &commands{}, Interrupted: errInterrupted,
				ExitCode: func(err error) int {
					if errors.Is(err, errInput) {
						return process.ExitUsage
					}
					return process.ExitFailure
				},
			}.Run(c.ctx, c.args, process.Process{Environ: []string{"TOLD=first", "TOLD=second"}, Stdout: &stdout, Stderr: &stderr})
			assert.Equal(t, c.code, code)
			assert.Equal(t, c.err, stderr.String())
			assert.Empty(t, stdout.String())
		})
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	var stdout, stderr strings.Builder
	code := process.Program{Name: "tool", Description: "Does things.", Commands: &commands{}}.
		Run(t.Context(), []string{"--help"}, process.Process{Stdout: &stdout, Stderr: &stderr})
	assert.Equal(t, process.ExitOK, code)
	assert.Contains(t, stdout.String(), "Does things.")
	assert.Empty(t, stderr.String())
}
