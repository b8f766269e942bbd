package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/credential"
	"github.com/petal-ml/petal/internal/settings"
)

// userCommands look after the users in the database, whether an API runs or
// not.
type userCommands struct {
	Add             userAddCommand             `cmd:"" help:"Add a user. The password is asked for, or read from standard input."`
	Passwd          userPasswdCommand          `cmd:"" help:"Set a user's password, which ends all tokens issued before."`
	Disable         userDisableCommand         `cmd:"" help:"Bar a user from logging in, and end all tokens issued before."`
	Enable          userEnableCommand          `cmd:"" help:"Let a disabled user log in again."`
	Revoke          userRevokeCommand          `cmd:"" help:"End all tokens issued to a user, who can log in again."`
	List            userListCommand            `cmd:"" help:"List the users."`
	InitialPassword userInitialPasswordCommand `cmd:"" help:"Print the password that was made for the first user, while it is in force."`
}

type userAddCommand struct {
	Name  string   `arg:"" help:"Name of the user."`
	Scope []string `help:"What the user may do: predict, model:read, admin. Default: predict and model:read." placeholder:"SCOPE"`
}

// Run adds a user.
func (c *userAddCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(_ settings.API, accounts *account.Service) error {
		// Before anybody types a password for nothing.
		if err := credential.CheckUsername(c.Name); err != nil {
			return fmt.Errorf("add user: the name %w", err)
		}
		password, err := readPassword(p)
		if err != nil {
			return err
		}
		user, err := accounts.Add(ctx, c.Name, password, c.Scope)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.Stdout, "user %s added with the scopes %s\n", user.Name, strings.Join(user.Scopes, " "))
		return err
	})
}

type userPasswdCommand struct {
	Name string `arg:"" optional:"" help:"Name of the user. Default: the first user, API_USERNAME."`
}

// Run sets a password.
func (c *userPasswdCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(cfg settings.API, accounts *account.Service) error {
		name := c.Name
		if name == "" {
			name = cfg.Username
		}
		password, err := readPassword(p)
		if err != nil {
			return err
		}
		if err := accounts.SetPassword(ctx, name, password); err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.Stdout, "password of %s set; earlier tokens no longer count\n", name)
		return err
	})
}

type userDisableCommand struct {
	Name string `arg:"" help:"Name of the user."`
}

// Run disables a user.
func (c *userDisableCommand) Run(ctx context.Context, p *Process) error {
	return setDisabled(ctx, p, c.Name, true)
}

type userEnableCommand struct {
	Name string `arg:"" help:"Name of the user."`
}

// Run enables a user.
func (c *userEnableCommand) Run(ctx context.Context, p *Process) error {
	return setDisabled(ctx, p, c.Name, false)
}

func setDisabled(ctx context.Context, p *Process, name string, disabled bool) error {
	return withAccounts(ctx, p, func(_ settings.API, accounts *account.Service) error {
		if err := accounts.SetDisabled(ctx, name, disabled); err != nil {
			return err
		}
		word := "enabled"
		if disabled {
			word = "disabled"
		}
		_, err := fmt.Fprintf(p.Stdout, "user %s %s\n", name, word)
		return err
	})
}

type userRevokeCommand struct {
	Name string `arg:"" help:"Name of the user."`
}

// Run ends a user's tokens.
func (c *userRevokeCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(_ settings.API, accounts *account.Service) error {
		if err := accounts.Revoke(ctx, c.Name); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Stdout, "tokens of %s revoked\n", c.Name)
		return err
	})
}

type userListCommand struct{}

// Run lists the users.
func (userListCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(_ settings.API, accounts *account.Service) error {
		users, err := accounts.List(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "NAME\tSTATE\tSCOPES\tCREATED")
		for _, u := range users {
			state := "active"
			if u.Disabled {
				state = "disabled"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, state, strings.Join(u.Scopes, " "), u.Created.Format(time.RFC3339))
		}
		return w.Flush()
	})
}

type userInitialPasswordCommand struct{}

// Run prints the generated password.
func (userInitialPasswordCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(cfg settings.API, accounts *account.Service) error {
		password, err := accounts.InitialPassword(ctx, cfg.Username)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(p.Stdout, password)
		return err
	})
}

// withAccounts opens the users' database around a command. The command says
// itself what it did: of the log only warnings are shown.
func withAccounts(ctx context.Context, p *Process, do func(settings.API, *account.Service) error) (err error) {
	cfg, err := settings.Load[settings.API](p.Dir, p.Environ)
	if err != nil {
		return err
	}
	if err := cfg.MakeStateDir(); err != nil {
		return err
	}
	store, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return do(cfg, account.New(account.Config{Store: store, StateDir: cfg.StateDir, Log: settings.Logger(p.Stderr, cfg.Format, max(cfg.Level, settings.LogLevel(slog.LevelWarn)))}))
}

// readPassword asks twice on a terminal, without echo. From a pipe or a file it
// takes one line. A password on the command line would be seen by everybody on
// the machine.
func readPassword(p *Process) (string, error) {
	fd := int(p.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return readLine(p, "password")
	}
	ask := func(prompt string) (string, error) {
		_, _ = fmt.Fprint(p.Stderr, prompt)
		typed, err := term.ReadPassword(fd)
		_, _ = fmt.Fprintln(p.Stderr)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return string(typed), nil
	}
	first, err := ask("New password: ")
	if err != nil {
		return "", err
	}
	second, err := ask("The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("read password: the two differ; nothing was changed")
	}
	return first, nil
}

// readLine takes one line of standard input, which holds the secret named.
func readLine(p *Process, what string) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(p.Stdin, 1<<16)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", fmt.Errorf("read %s: standard input is empty; write the %s there, or run this on a terminal", what, what)
	}
	return line, nil
}
