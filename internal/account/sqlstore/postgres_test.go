package sqlstore_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/accounttest"
	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/tests/testenv"
)

func TestPostgreSQL(t *testing.T) {
	server := startPostgreSQL(t)
	databases := 0
	create := func(t *testing.T) string {
		databases++
		return server.createDatabase(t, fmt.Sprintf("accounts_%d", databases))
	}
	accounttest.Run(t, func(t *testing.T) (account.Store, func() account.Store) {
		source := create(t)
		return open(t, sqlstore.PostgreSQL, source), func() account.Store { return open(t, sqlstore.PostgreSQL, source) }
	})
	t.Run("migrations at once", func(t *testing.T) { openAtOnce(t, sqlstore.PostgreSQL, create(t)) })
	t.Run("wrong password", func(t *testing.T) {
		source, err := url.Parse(create(t))
		require.NoError(t, err)
		source.User = url.UserPassword("petal", "hunter2")
		_, err = sqlstore.Open(t.Context(), sqlstore.PostgreSQL, source.String())
		require.ErrorContains(t, err, "password authentication failed")
		require.NotContains(t, err.Error(), "hunter2")
	})
}

const postgresPassword = "p@ss/word"

// postgresServer is a real PostgreSQL on loopback that ends with the test.
type postgresServer struct{ port int }

// startPostgreSQL makes a cluster in a folder of its own and starts it. As root
// it runs as another user: PostgreSQL refuses to run as root.
func startPostgreSQL(t *testing.T) postgresServer {
	t.Helper()
	initdb, postgres := postgresProgram(t, "initdb"), postgresProgram(t, "postgres")
	dir, err := os.MkdirTemp("", "petal-postgres-") // t.TempDir is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	password := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(password, []byte(postgresPassword), 0o600))
	credential := otherUser(t, dir, password)

	data := filepath.Join(dir, "data")
	runAs(t, credential, initdb, "--pgdata="+data, "--username=petal", "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")

	server := postgresServer{port: testenv.FreePort(t)}
	cmd := exec.Command(postgres, "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(server.port), "-k", dir,
		"-F", "-c", "shared_buffers=16MB", "-c", "max_connections=60")
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // PostgreSQL's fast shutdown
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("postgres:\n%s", log.String())
		}
	})
	server.waitReady(t)
	return server
}

func (s postgresServer) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("petal", postgresPassword),
		Host: fmt.Sprintf("127.0.0.1:%d", s.port), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (s postgresServer) waitReady(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), s.url("postgres"))
		if err != nil {
			return false
		}
		return conn.Close(t.Context()) == nil
	}, 30*time.Second, 50*time.Millisecond)
}

func (s postgresServer) createDatabase(t *testing.T, name string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.url("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	return s.url(name)
}

// postgresProgram finds a program on the path or where Debian keeps it.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	require.NoError(t, err)
	if len(found) == 0 {
		testenv.Missing(t, "there is no PostgreSQL: install the package postgresql")
	}
	return slices.Max(found)
}

// otherUser hands the paths to a user that is not root; nil means that this
// process is no root.
func otherUser(t *testing.T, paths ...string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	require.NoError(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	for _, path := range paths {
		require.NoError(t, os.Chown(path, int(uid), int(gid)))
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func runAs(t *testing.T, credential *syscall.Credential, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}
