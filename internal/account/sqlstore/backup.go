package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/petal-ml/petal/internal/atomicfile"
)

// ErrBackup means that a backup is not made by this program.
var ErrBackup = errors.New("a PostgreSQL database is saved by its own tools: pg_dump --format=custom --file=FILE DATABASE_URL")

// Backup saves a SQLite database to a new file, for its owner only (0600), while
// others go on reading and writing. The file holds the state of one moment and
// appears whole or not at all; one that is there is never replaced
// ([os.ErrExist]). The schema stays as it is: a backup comes before a migration.
// For PostgreSQL the error is [ErrBackup].
func Backup(ctx context.Context, driver, source, file string) error {
	if driver == PostgreSQL {
		return ErrBackup
	}
	if _, err := os.Stat(source); err != nil { // SQLite would make an empty one
		return fmt.Errorf("back up account database: %w", err)
	}
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("back up account database: %s: %w", file, errors.Join(err, os.ErrExist))
	}
	copied, err := atomicfile.Create(file, 0o600)
	if err != nil {
		return fmt.Errorf("back up account database: %w", err)
	}
	defer copied.Discard()
	err = vacuumInto(ctx, source, copied.Name())
	if err == nil {
		err = copied.CommitNew()
	}
	if err != nil {
		return fmt.Errorf("back up account database: %w", err)
	}
	return nil
}

// vacuumInto copies the database in one read transaction into an empty file,
// which keeps its mode.
func vacuumInto(ctx context.Context, source, target string) (err error) {
	db, err := sql.Open("sqlite", fmt.Sprintf("file:%s?mode=rw&_pragma=busy_timeout(%d)", (&url.URL{Path: source}).EscapedPath(), busyTimeout))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, target); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	return nil
}
