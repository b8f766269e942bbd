package api

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/settings"
)

// keyCommands look after the API keys of machines, whether an API runs or not.
type keyCommands struct {
	Add    keyAddCommand    `cmd:"" help:"Make an API key and print it, this once."`
	List   keyListCommand   `cmd:"" help:"List the API keys, without their secrets."`
	Revoke keyRevokeCommand `cmd:"" help:"End an API key for good."`
}

type keyAddCommand struct {
	Name  string   `arg:"" help:"What the key is for, such as nightly-batch."`
	Scope []string `help:"What the key may do: predict, model:read, admin. Default: predict and model:read." placeholder:"SCOPE"`
	Days  int      `help:"How many days the key is good for, 366 at most." default:"90"`
}

// Run adds a key. Only the key goes to standard output: KEY=$(api key add NAME).
func (c *keyAddCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(_ settings.API, accounts *account.Service) error {
		lifetime := time.Duration(min(c.Days, 1000)) * 24 * time.Hour // far more than is allowed, and no overflow
		text, key, err := accounts.AddKey(ctx, c.Name, c.Scope, lifetime)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(p.Stderr, "key %s for %s with the scopes %s is good until %s; it is shown this once:\n",
			key.ID, key.Name, strings.Join(key.Scopes, " "), key.Expires.Format(time.RFC3339))
		_, err = fmt.Fprintln(p.Stdout, text)
		return err
	})
}

type keyListCommand struct{}

// Run lists the keys.
func (keyListCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(_ settings.API, accounts *account.Service) error {
		keys, err := accounts.Keys(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tNAME\tSTATE\tSCOPES\tCREATED\tEXPIRES\tLAST USED")
		for _, k := range keys {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, keyState(k, time.Now()), strings.Join(k.Scopes, " "),
				k.Created.Format(time.RFC3339), k.Expires.Format(time.RFC3339), lastUse(k))
		}
		return w.Flush()
	})
}

func keyState(k account.Key, now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !now.Before(k.Expires):
		return "expired"
	default:
		return "active"
	}
}

// lastUse shows no more than is known: the hour.
func lastUse(k account.Key) string {
	if k.LastUsed.IsZero() {
		return "never"
	}
	return k.LastUsed.Format("2006-01-02T15h UTC")
}

type keyRevokeCommand struct {
	ID string `arg:"" help:"ID of the key, as api key list shows it."`
}

// Run revokes a key.
func (c *keyRevokeCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(_ settings.API, accounts *account.Service) error {
		key, err := accounts.RevokeKey(ctx, c.ID)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.Stdout, "key %s for %s revoked\n", key.ID, key.Name)
		return err
	})
}
