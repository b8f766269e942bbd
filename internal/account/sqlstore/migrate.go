package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Versions are those of a schema before and after a migration.
type Versions struct{ Before, After int64 }

// Migrate brings the schema of a database up to date, as [Open] does, and tells
// what there was to do. Processes that do so at once wait for each other.
func Migrate(ctx context.Context, driver, source string) (Versions, error) {
	store, versions, err := open(ctx, driver, source)
	if err != nil {
		return Versions{}, fmt.Errorf("migrate account database: %w", err)
	}
	return versions, store.Close()
}

// migrateUp applies the migrations that the database lacks. The caller holds off
// other processes.
func migrateUp(ctx context.Context, db *sql.DB, dialect goose.Dialect) (Versions, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return Versions{}, err
	}
	// The global registry of Go migrations belongs to nobody here.
	provider, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return Versions{}, fmt.Errorf("read migrations: %w", err)
	}
	before, target, err := provider.GetVersions(ctx)
	if err != nil {
		return Versions{}, fmt.Errorf("read schema version: %w", err)
	}
	if before > target { // an old program must not write to the schema of a newer one
		return Versions{}, fmt.Errorf("the schema has version %d and this program knows %d: use a newer program", before, target)
	}
	if _, err := provider.Up(ctx); err != nil {
		return Versions{}, fmt.Errorf("migrate: %w", err)
	}
	return Versions{Before: before, After: target}, nil
}
