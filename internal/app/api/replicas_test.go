package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/pgtest"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// TestReplicas runs two APIs with state directories of their own on one
// PostgreSQL: who logs in at one is known to the other, and so is who is thrown
// out or guesses too often.
func TestReplicas(t *testing.T) {
	database := pgtest.Start(t).CreateDatabase("accounts")
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
