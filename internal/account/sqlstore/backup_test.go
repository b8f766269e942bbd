package sqlstore_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/sqlstore"
)

// TestBackup saves a database into which somebody writes all the time.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "users.db")
	store := open(t, sqlstore.SQLite, source)
	for i := range 20 {
		require.NoError(t, store.CreateUser(t.Context(), account.User{Name: "user" + strconv.Itoa(i)}))
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 20; ctx.Err() == nil; i++ {
			if err := store.CreateUser(ctx, account.User{Name: "user" + strconv.Itoa(i)}); ctx.Err() == nil {
				assert.NoError(t, err)
			}
		}
	}()
	for i := range 3 {
		file := filepath.Join(dir, "backup"+strconv.Itoa(i)+".db")
		require.NoError(t, sqlstore.Backup(t.Context(), sqlstore.SQLite, source, file))
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		restored := open(t, sqlstore.SQLite, file)
		users, err := restored.Users(t.Context())
		require.NoError(t, err)
		generation, err := restored.Generation(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(users), 20)
		require.Len(t, users, int(generation), "one moment: each user has raised the generation by one")
	}
	stop()
	<-done
	entries, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, entries, "nothing else is left")
}

func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	source, taken := filepath.Join(dir, "users.db"), filepath.Join(dir, "taken")
	require.NoError(t, open(t, sqlstore.SQLite, source).Close())
	require.NoError(t, os.WriteFile(taken, []byte("precious"), 0o600))
	garbage := filepath.Join(dir, "garbage.db")
	require.NoError(t, os.WriteFile(garbage, []byte("no database, but long enough to be read as one by mistake"), 0o600))
	backup := func(driver, source, file string) error { return sqlstore.Backup(t.Context(), driver, source, file) }

	require.ErrorIs(t, backup(sqlstore.SQLite, source, taken), os.ErrExist)
	content, err := os.ReadFile(taken)
	require.NoError(t, err)
	require.Equal(t, "precious", string(content))
	require.ErrorIs(t, backup(sqlstore.SQLite, filepath.Join(dir, "missing.db"), filepath.Join(dir, "new")), os.ErrNotExist)
	require.NoFileExists(t, filepath.Join(dir, "missing.db"))
	requireNoDatabase(t, backup(sqlstore.SQLite, garbage, filepath.Join(dir, "new")))
	require.ErrorIs(t, backup(sqlstore.SQLite, source, filepath.Join(dir, "nowhere", "new")), os.ErrNotExist)
	require.ErrorIs(t, backup(sqlstore.PostgreSQL, "postgres://petal:hunter2@127.0.0.1/accounts", filepath.Join(dir, "new")), sqlstore.ErrBackup)
	require.NoFileExists(t, filepath.Join(dir, "new"))
}

// TestBackupDoesNotMigrate: a backup comes before a migration.
func TestBackupDoesNotMigrate(t *testing.T) {
	dir := t.TempDir()
	source, file := filepath.Join(dir, "users.db"), filepath.Join(dir, "backup.db")
	atVersion1(t, source)
	require.NoError(t, sqlstore.Backup(t.Context(), sqlstore.SQLite, source, file))
	for _, path := range []string{file, source} {
		versions, err := sqlstore.Migrate(t.Context(), sqlstore.SQLite, path)
		require.NoError(t, err)
		require.Equal(t, sqlstore.Versions{Before: 1, After: 3}, versions)
		versions, err = sqlstore.Migrate(t.Context(), sqlstore.SQLite, path)
		require.NoError(t, err)
		require.Equal(t, sqlstore.Versions{Before: 3, After: 3}, versions)
		user, err := open(t, sqlstore.SQLite, path).User(t.Context(), "ada")
		require.NoError(t, err, "what was there stays")
		require.Equal(t, int64(3), user.Epoch)
	}
}

// atVersion1 makes a database as the first version of Petal has made it.
func atVersion1(t *testing.T, path string) {
	t.Helper()
	store := open(t, sqlstore.SQLite, path)
	require.NoError(t, store.CreateUser(t.Context(), account.User{Name: "ada", Epoch: 3}))
	require.NoError(t, store.Close())
	raw, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	for _, statement := range []string{
		`DROP INDEX users_by_generation`, `ALTER TABLE users DROP COLUMN generation`,
		`DROP TABLE access_generation`, `DROP TABLE api_keys`, `DROP TABLE revoked_tokens`, `DELETE FROM goose_db_version WHERE version_id > 1`,
	} {
		_, err = raw.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	require.NoError(t, raw.Close())
}
