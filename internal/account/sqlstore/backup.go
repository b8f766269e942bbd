package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// ErrBackup means that a backup is not made by this program.
var ErrBackup = errors.New("a PostgreSQL database is saved by its own tools: pg_dump --format=custom --file=FILE DATABASE_URL")

// Backup saves a SQLite database to a new file, for its owner only (0600), while
// others go on reading and writing. The file holds the state of one moment and
// appears whole or not at all; one that is there is never replaced
// ([os.ErrExist]). The schema stays as it is: a backup comes before a migration.
// For PostgreSQL the error is [ErrBackup].
func Backup(ctx context.Context, driver, source, file string) (err error) {
	if driver == PostgreSQL {
		return ErrBackup
	}
	if _, err := os.Stat(source); err != nil { // SQLite would make an empty one
		return fmt.Errorf("back up account database: %w", err)
	}
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("back up account database: %s: %w", file, errors.Join(err, os.ErrExist))
	}
	tmp, err := os.MkdirTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // closed to others, as VACUUM INTO's file is not
	if err != nil {
		return fmt.Errorf("back up account database: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	copied := filepath.Join(tmp, "copy")
	if err := vacuumInto(ctx, source, copied); err != nil {
		return fmt.Errorf("back up account database: %w", err)
	}
	if err := publish(copied, file); err != nil {
		return fmt.Errorf("back up account database: %w", err)
	}
	return nil
}

// vacuumInto copies the database in one read transaction.
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

// publish closes a file to others, brings it to the disk and gives it its name.
func publish(from, to string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link fails where a rename would replace.
	if err := os.Link(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
