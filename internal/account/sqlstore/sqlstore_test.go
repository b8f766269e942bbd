package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/tests/conformance/accounttest"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// writerVariable turns the test program into a writer that a test kills.
const writerVariable = "PETAL_TEST_WRITE_TO"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerVariable); path != "" {
		writeForever(path)
	}
	os.Exit(m.Run())
}

func TestSQLite(t *testing.T) {
	accounttest.Run(t, func(t *testing.T) (account.Store, func() account.Store) {
		path := filepath.Join(t.TempDir(), "users.db")
		return open(t, sqlstore.SQLite, path), func() account.Store { return open(t, sqlstore.SQLite, path) }
	})
}

func TestSQLitePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{"users.db", "./other.db", filepath.Join(dir, "a b.db"), "100%20?#.db", "über.db"} {
		store := open(t, sqlstore.SQLite, path)
		require.NoError(t, store.CreateUser(t.Context(), account.User{Name: "ada"}))
		info, err := os.Stat(path)
		require.NoError(t, err, "the file has the name that was asked for")
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		for _, suffix := range []string{"-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			require.NoError(t, err, "the write-ahead log is on")
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
	}
}

// requireNoDatabase checks that SQLite has read the file and refused it.
func requireNoDatabase(t *testing.T, err error) {
	t.Helper()
	var refused *sqlite.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, sqlite3.SQLITE_NOTADB, refused.Code())
}

func is(want error) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, want)
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	require.NoError(t, os.WriteFile(garbage, []byte(strings.Repeat("no database ", 100)), 0o600))
	newer := filepath.Join(dir, "newer.db")
	require.NoError(t, open(t, sqlstore.SQLite, newer).Close())
	raw, err := sql.Open("sqlite", newer)
	require.NoError(t, err)
	_, err = raw.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	require.NoError(t, err)
	require.NoError(t, raw.Close())

	messages := golden.New(t)
	tests := []struct {
		name, driver, source string
		want                 func(*testing.T, error) // nil: it has no type
	}{
		{"directory missing", sqlstore.SQLite, filepath.Join(dir, "missing", "users.db"), nil},
		{"a directory", sqlstore.SQLite, dir, is(syscall.EISDIR)},
		{"not a database", sqlstore.SQLite, garbage, requireNoDatabase},
		{"a newer schema", sqlstore.SQLite, newer, nil},
		{"nobody listens", sqlstore.PostgreSQL, "postgres://petal:hunter2@127.0.0.1:1/accounts", is(account.ErrUnavailable)},
		{"not a URL", sqlstore.PostgreSQL, "postgres://petal:hunter2@127.0.0.1:port/accounts", func(t *testing.T, err error) {
			t.Helper()
			var malformed *pgconn.ParseConfigError
			require.ErrorAs(t, err, &malformed)
		}},
		{"unknown driver", "oracle", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sqlstore.Open(t.Context(), tt.driver, tt.source)
			require.Error(t, err)
			if tt.want != nil {
				tt.want(t, err)
			}
			require.NotContains(t, err.Error(), "hunter2")
			messages.Add(tt.name, errors.New(strings.ReplaceAll(err.Error(), dir, "DIR")))
		})
	}
}

// A database that others may read or write is closed to them when it is opened.
func TestDatabaseIsClosedToOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	require.NoError(t, open(t, sqlstore.SQLite, path).Close())
	require.NoError(t, os.Chmod(path, 0o666))
	open(t, sqlstore.SQLite, path)
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "-migrate") {
			continue // a lock without content
		}
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	messages := golden.New(t)
	for name, put := range map[string]func(string) error{
		"fifo": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"zero": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users.db")
			require.NoError(t, put(path))
			done := make(chan error, 1)
			go func() {
				_, err := sqlstore.Open(context.WithoutCancel(t.Context()), sqlstore.SQLite, path)
				done <- err
			}()
			select {
			case err := <-done:
				require.ErrorContains(t, err, path)
				messages.Add(name, errors.New(strings.ReplaceAll(err.Error(), path, "FILE")))
			case <-time.After(20 * time.Second):
				require.Fail(t, "it does not end")
			}
		})
	}
}

// TestMigrationAtOnce opens a new database many times at once.
func TestMigrationAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	openAtOnce(t, sqlstore.SQLite, path)
}

func openAtOnce(t *testing.T, driver, source string) {
	t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			store, err := sqlstore.Open(t.Context(), driver, source)
			if assert.NoError(t, err) {
				assert.NoError(t, store.Close())
			}
		})
	}
	wg.Wait()
}

// TestKilledWriter kills a process amid its writes, several times: the database
// is whole afterwards, and holds every write that was reported done.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	reported := int64(0)
	for round := range 4 {
		reported = max(reported, killWriter(t, path, time.Duration(5+13*round)*time.Millisecond))

		raw, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		var verdict string
		require.NoError(t, raw.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict))
		require.Equal(t, "ok", verdict)
		require.NoError(t, raw.Close())

		store := open(t, sqlstore.SQLite, path)
		user, err := store.User(t.Context(), "ada")
		require.NoError(t, err)
		require.GreaterOrEqual(t, user.Epoch, reported)
		require.NoError(t, store.Close())
	}
	require.Positive(t, reported)
}

// killWriter starts a writer, lets it write for a while after its first write,
// kills it with SIGKILL, and returns the last write it reported.
func killWriter(t *testing.T, path string, after time.Duration) (reported int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), writerVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for first := true; lines.Scan(); first = false {
		if _, err := fmt.Sscan(lines.Text(), &reported); err != nil {
			break // a line that the kill cut off
		}
		if first {
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // it was killed
	require.False(t, cmd.ProcessState.Success())
	return reported
}

// writeForever counts a user's epoch up and reports each number once it is
// written.
func writeForever(path string) {
	ctx := context.Background()
	err := func() error {
		store, err := sqlstore.Open(ctx, sqlstore.SQLite, path)
		if err != nil {
			return err
		}
		if err := store.CreateUser(ctx, account.User{Name: "ada"}); err != nil && !errors.Is(err, account.ErrExists) {
			return err
		}
		for {
			u, err := store.UpdateUser(ctx, "ada", func(u *account.User) error { u.Epoch++; return nil })
			if err != nil {
				return err
			}
			if _, err := fmt.Println(u.Epoch); err != nil {
				return err
			}
		}
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func open(t *testing.T, driver, source string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store
}
