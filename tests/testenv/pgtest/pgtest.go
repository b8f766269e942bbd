// Package pgtest starts a real PostgreSQL for tests.
package pgtest

import (
	"context"
	"errors"
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

	"github.com/petal-ml/petal/tests/testenv"
)

// password holds signs that a URL has to quote.
const password = "p@ss/word"

// A Server is a PostgreSQL on loopback that ends with the test.
type Server struct {
	t    testing.TB
	port int
}

// Start makes a cluster in a folder of its own and starts it. As root it runs as
// another user: PostgreSQL refuses to run as root. Where there is no PostgreSQL
// the test skips.
func Start(t testing.TB) *Server {
	t.Helper()
	initdb, postgres := program(t, "initdb"), program(t, "postgres")
	dir, err := os.MkdirTemp("", "petal-postgres-") // t.TempDir is closed to other users
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	secret := filepath.Join(dir, "password")
	must(t, os.WriteFile(secret, []byte(password), 0o600))
	credential := otherUser(t, dir, secret)

	data := filepath.Join(dir, "data")
	cmd := exec.CommandContext(t.Context(), initdb, "--pgdata="+data, "--username=petal", "--pwfile="+secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = os.TempDir(), &syscall.SysProcAttr{Credential: credential}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, output)
	}

	server := &Server{t: t, port: testenv.FreePort(t)}
	cmd = exec.Command(postgres, "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(server.port), "-k", dir,
		"-F", "-c", "shared_buffers=16MB", "-c", "max_connections=60")
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // PostgreSQL's fast shutdown
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("postgres:\n%s", log.String())
		}
	})
	server.waitReady()
	return server
}

// CreateDatabase makes an empty database and returns its URL, postgres://… with
// the password in it.
func (s *Server) CreateDatabase(name string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	must(s.t, err)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	must(s.t, errors.Join(err, conn.Close(ctx)))
	return s.url(name)
}

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("petal", password),
		Host: fmt.Sprintf("127.0.0.1:%d", s.port), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (s *Server) waitReady() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			must(s.t, conn.Close(ctx))
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("PostgreSQL does not answer: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// program finds a program on the path or where Debian keeps it.
func program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	must(t, err)
	if len(found) == 0 {
		testenv.Missing(t, "there is no PostgreSQL: install the package postgresql")
	}
	return slices.Max(found)
}

// otherUser hands the paths to a user that is not root; nil means that this
// process is no root.
func otherUser(t testing.TB, paths ...string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	must(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	must(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	must(t, err)
	for _, path := range paths {
		must(t, os.Chown(path, int(uid), int(gid)))
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
