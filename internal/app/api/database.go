package api

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/internal/settings"
)

type migrateCommand struct{}

// Run migrates the users' database, for those who want to do so before they
// start a new version. Several at once wait for each other.
func (migrateCommand) Run(ctx context.Context, p *Process, cfg settings.API) error {
	versions, err := sqlstore.Migrate(ctx, cfg.Database.Driver, cfg.Database.Source)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	text := fmt.Sprintf("the schema has version %d already", versions.After)
	if versions.Before != versions.After {
		text = fmt.Sprintf("the schema is brought from version %d to %d", versions.Before, versions.After)
	}
	_, err = fmt.Fprintln(p.Stdout, text)
	return err
}

type backupCommand struct {
	File string `arg:"" help:"The file to make. One that is there is not replaced."`
}

// Run backs the users' database up.
func (c *backupCommand) Run(ctx context.Context, p *Process, cfg settings.API) error {
	err := sqlstore.Backup(ctx, cfg.Database.Driver, cfg.Database.Source, c.File)
	switch {
	case errors.Is(err, os.ErrExist):
		return fmt.Errorf("backup: %s is there already; name a new file", c.File)
	case err != nil:
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	_, err = fmt.Fprintf(p.Stdout, "users and API keys saved to %s; the keys that sign tokens are in %s\n", c.File, cfg.StateDir)
	return err
}
