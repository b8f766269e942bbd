package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/petal-ml/petal/internal/atomicfile"
)

// busyTimeout is how long a writer waits for another, in milliseconds.
const busyTimeout = 10_000

// sqliteConnections bounds readers at once; writers queue in SQLite.
const sqliteConnections = 4

type sqliteDialect struct{ path string }

func openSQLite(path string) (*sql.DB, dialect, error) {
	// Made here for its mode: SQLite would let others read the hashes. The
	// files of the write-ahead log take theirs from it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		if _, statErr := os.Stat(filepath.Dir(path)); errors.Is(statErr, os.ErrNotExist) {
			return nil, nil, fmt.Errorf("the directory of %q does not exist; create it or change DATABASE_URL", path)
		}
		return nil, nil, fmt.Errorf("%w; name a file by DATABASE_URL that this program may read and write", err)
	}
	if err := errors.Join(closeToOthers(f, path), f.Close()); err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("sqlite", sqliteDSN(path))
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(sqliteConnections)
	return db, sqliteDialect{path: path}, nil
}

// closeToOthers takes the right to read the hashes, and to change who may log in, from
// all but the owner, where the files are this user's. What is no regular file is
// refused: SQLite would wait for a pipe's writer.
func closeToOthers(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a regular file; remove it or change DATABASE_URL", path)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
			continue
		}
		if err := os.Chmod(name, 0o600); err != nil {
			slog.Warn("others may read or change the account database", "file", name, "error", err, //nolint:sloglint // opening has no logger of its own
				"remedy", "chmod it to 0600 as its owner")
		}
	}
	return nil
}

// sqliteDSN puts the pragmas where every connection of the pool meets them:
// busy_timeout first, because switching to the write-ahead log takes a lock.
// Transactions begin IMMEDIATE: one that reads first and then writes would fail
// at once when another wrote in between.
func sqliteDSN(path string) string {
	return fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate",
		(&url.URL{Path: path}).EscapedPath(), busyTimeout)
}

// prepare holds a lock of SQLite's own on a file beside the database, which
// ends with the process that holds it. The first connection is made inside it:
// switching to the write-ahead log does not wait for others, whatever the
// busy_timeout.
func (d sqliteDialect) prepare(ctx context.Context, db *sql.DB) (versions Versions, err error) {
	lock, err := sql.Open("sqlite", fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_txlock=exclusive",
		(&url.URL{Path: d.path + "-migrate"}).EscapedPath(), 3*busyTimeout))
	if err != nil {
		return Versions{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	held, err := lock.BeginTx(ctx, nil)
	if err != nil {
		return Versions{}, fmt.Errorf("wait for another process that is opening it: %w", err)
	}
	defer func() { err = errors.Join(err, held.Rollback()) }()
	if err := db.PingContext(ctx); err != nil {
		return Versions{}, fmt.Errorf("%q: %w", d.path, err)
	}
	return migrateUp(ctx, db, goose.DialectSQLite3)
}

func (sqliteDialect) forUpdate() string { return "" }

// lockSubjects has nothing to do: an IMMEDIATE transaction is alone.
func (sqliteDialect) lockSubjects(context.Context, *sql.Tx, []string) error { return nil }

func (sqliteDialect) isDuplicate(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE)
}

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
