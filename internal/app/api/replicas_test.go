package api

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/pgtest"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

func TestPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	t.Run("replicas", func(t *testing.T) { testReplicas(t, server.CreateDatabase("accounts")) })
	t.Run("away at start", func(t *testing.T) { testDatabaseAwayAtStart(t, server.CreateDatabase("later")) })
}

// testDatabaseAwayAtStart starts an API before its database: it says so, is not
// ready and lets nobody in, and works once the database is there.
func testDatabaseAwayAtStart(t *testing.T, database string) {
	t.Helper()
	location, err := url.Parse(database)
	require.NoError(t, err)
	behind := location.Host
	location.Host = testenv.FreeAddress(t)
	p := newProject(t, "DATABASE_URL="+location.String(),
		"SECRET_KEY=q8Zt3VxW0pLmKjN7bR5yHc2GfD9sUaE1iOwTzXvBnM4", "API_PASSWORD=quiet-harbour-lantern")
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t) // it has a model
	status := func(path string) int {
		resp, err := http.Get("http://" + s.Address().String() + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, http.StatusOK, status("/health"))
	for _, path := range []string{"/ready", "/v2/health/ready", "/ping"} {
		require.Equal(t, http.StatusServiceUnavailable, status(path), path)
	}
	refused, _ := login(t, s, "student", "quiet-harbour-lantern")
	require.Equal(t, http.StatusServiceUnavailable, refused)
	require.Contains(t, p.log.String(), "the database of the users is away")
	require.NotContains(t, p.log.String(), "p@ss")

	forward(t, location.Host, behind)
	require.Eventually(t, func() bool { return status("/ready") == http.StatusOK }, time.Minute, 100*time.Millisecond, p.log.String())
	got, token := login(t, s, "student", "quiet-harbour-lantern")
	require.Equal(t, http.StatusOK, got)
	require.Eventually(t, func() bool { status, _ := postRow(t, s, token); return status == http.StatusOK }, time.Minute, 100*time.Millisecond)
}

// forward listens at an address for a server at another.
func forward(t *testing.T, address, server string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = client.Close() }()
				upstream, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(upstream, client); _ = upstream.Close() }()
				_, _ = io.Copy(client, upstream)
			}()
		}
	}()
}

// testReplicas runs two APIs with state directories of their own on one
// PostgreSQL: who logs in at one is known to the other, and so is who is thrown
// out or guesses too often.
func testReplicas(t *testing.T, database string) {
	t.Helper()
	var (
		projects [2]*project
		replicas [2]*Server
	)
	for i := range replicas {
		projects[i] = newProject(t, "DATABASE_URL="+database,
			"SECRET_KEY=q8Zt3VxW0pLmKjN7bR5yHc2GfD9sUaE1iOwTzXvBnM4", "API_PASSWORD=quiet-harbour-lantern")
		projects[i].promote(t, servingtest.Iris(t))
	}
	for i := range replicas {
		replicas[i] = projects[i].ready(t)
	}
	a, b := replicas[0], replicas[1]
	command := func(args ...string) string {
		t.Helper()
		code, out, errs := projects[0].run(t, "another-harbour-lantern\n", args...)
		require.Equal(t, 0, code, errs)
		return strings.TrimSpace(out)
	}
	allowed := func(s *Server, bearer, why string) {
		t.Helper()
		status, _ := postRow(t, s, bearer)
		require.Equal(t, http.StatusOK, status, why)
	}

	status, token := login(t, a, "student", "quiet-harbour-lantern")
	require.Equal(t, http.StatusOK, status)
	allowed(b, token, "a token of the other replica")
	command("user", "add", "ann")
	status, ann := login(t, b, "ann", "another-harbour-lantern")
	require.Equal(t, http.StatusOK, status)
	allowed(a, ann, "a user made a moment ago")
	key := command("key", "add", "nightly")
	for _, s := range replicas {
		allowed(s, key, "a key made a moment ago")
	}

	command("user", "disable", "ann")
	command("key", "revoke", strings.Split(key, "_")[1])
	command("user", "passwd")
	for _, s := range replicas {
		refusedSoon(t, s, ann, "a disabled user")
		refusedSoon(t, s, key, "a revoked key")
		refusedSoon(t, s, token, "the token of an old password")
	}

	for i := range 10 {
		status, _ := login(t, replicas[i%2], "student", "wrong")
		require.Equal(t, http.StatusBadRequest, status)
	}
	for i, s := range replicas {
		status, _ := login(t, s, "student", "another-harbour-lantern")
		assert.Equal(t, http.StatusTooManyRequests, status, "replica %d", i)
		for _, secret := range []string{token, ann, key, "hunter2", "harbour-lantern", "p@ss", "p%40ss"} {
			assert.NotContains(t, projects[i].log.String(), secret)
		}
	}
}

// TestRotationOfReplicas rotates SECRET_KEY of two APIs as docs/security.md says,
// one restart after the other. At each moment each of them takes what either
// issues, and has issued since the step before.
func TestRotationOfReplicas(t *testing.T) {
	const oldKey, newKey = "q8Zt3VxW0pLmKjN7bR5yHc2GfD9sUaE1iOwTzXvBnM4", "Vb6Nq1Xz8Lk3Jh5Gf7Ds9Ap2Oi4Uy0TrEwQmZxCvBn0"
	shared := filepath.Join(t.TempDir(), "users.db")
	var (
		projects [2]*project
		replicas [2]*Server
	)
	restart := func(i int, key, previous string) {
		p := projects[i]
		if replicas[i] != nil {
			require.NoError(t, replicas[i].Stop())
		}
		p.environ = append(p.environ, "SECRET_KEY="+key, "SECRET_KEY_PREVIOUS="+previous)
		replicas[i] = p.ready(t)
	}
	for i := range replicas {
		projects[i] = newProject(t, "DATABASE_URL=sqlite:///"+shared, "API_PASSWORD=quiet-harbour-lantern")
		projects[i].promote(t, servingtest.Iris(t))
		restart(i, oldKey, "")
	}
	var tokens, before []string // of this step and the one before
	check := func(why string) {
		t.Helper()
		for _, s := range replicas {
			status, token := login(t, s, "student", "quiet-harbour-lantern")
			require.Equal(t, http.StatusOK, status)
			tokens = append(tokens, token)
		}
		for i, s := range replicas {
			for _, token := range append(before, tokens...) {
				status, _ := postRow(t, s, token)
				require.Equal(t, http.StatusOK, status, "%s: replica %d", why, i)
			}
		}
	}
	check("before")
	for _, step := range []struct{ name, key, previous string }{
		{"the new key verifies", oldKey, newKey},
		{"the new key signs", newKey, oldKey},
		{"the old key is gone", newKey, ""},
	} {
		before, tokens = tokens, nil
		for i := range replicas {
			if step.previous == "" { // a day later: what the old key signed has expired
				before = before[len(before)-2:]
			}
			restart(i, step.key, step.previous)
			check(fmt.Sprintf("%s, at %d of 2", step.name, i+1))
		}
	}
}

// One replica with PostgreSQL may become two, so it needs a key that they share.
func TestPostgreSQLWithoutSecretKey(t *testing.T) {
	p := newProject(t, "DATABASE_URL=postgresql://petal@127.0.0.1:1/accounts")
	code, _, errs := p.run(t, "", "serve")
	require.Equal(t, 2, code)
	require.True(t, strings.HasPrefix(errs, "api: SECRET_KEY: "), errs)
	require.Equal(t, 1, strings.Count(errs, "\n"), errs)
}
