package api

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

func TestKeyCommands(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	code, out, errs := p.run(t, "", "key", "add", "nightly-batch", "--scope", "predict", "--days", "7")
	require.Equal(t, 0, code, errs)
	key := strings.TrimSuffix(out, "\n")
	require.Regexp(t, `^petal_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$`, key, "nothing else is on standard output")
	id := strings.Split(key, "_")[1]
	assert.Contains(t, errs, id)
	assert.NotContains(t, errs, key)

	status, label := postRow(t, s, key) // at once
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, "setosa", label)
	assert.Equal(t, http.StatusForbidden, get(t, s, "/model-info", key), "the key has no such scope")

	_, out, _ = p.run(t, "", "key", "list")
	assert.Regexp(t, `(?m)^`+id+` +nightly-batch +active +predict +20\S+ +20\S+ +(never|20\S+ UTC)$`, out, "uses are written down now and then")
	assert.NotContains(t, out, key)
	code, out, errs = p.run(t, "", "key", "revoke", id)
	require.Equal(t, 0, code, errs)
	assert.Equal(t, "key "+id+" for nightly-batch revoked\n", out)
	refusedSoon(t, s, key, "a revoked key")
	require.NoError(t, s.Stop())
	_, out, _ = p.run(t, "", "key", "list")
	assert.Regexp(t, `(?m)^`+id+` +nightly-batch +revoked .*UTC$`, out, "the use is written down at the end")
	assert.NotContains(t, p.log.String(), key)
	assert.Contains(t, p.log.String(), `msg="API key revoked" key=`+id)
	assert.Contains(t, p.log.String(), `msg="scope denied" audit=true user=key:`+id)

	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"key", "add", "a b"}, "is not a user name"},
		{[]string{"key", "add", "a", "--days", "367"}, "at most 366 days"},
		{[]string{"key", "add", "a", "--days", "0"}, "more than 0"},
		{[]string{"key", "add", "a", "--days=-1"}, "more than 0"},
		{[]string{"key", "add", "a", "--days", "4611686018427387905"}, "at most 366 days"},
		{[]string{"key", "add", "a", "--scope", "root"}, "root"},
		{[]string{"key", "revoke", "0123456789abcdef"}, "no such API key"},
	} {
		code, out, errs := p.run(t, "", row.args...)
		assert.NotZero(t, code, row.args)
		assert.Empty(t, out)
		assert.Contains(t, errs, row.says)
		assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
	}
}

func TestRevokeCommands(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	password := p.initialPassword(t)
	_, first := login(t, s, "student", password)
	_, second := login(t, s, "student", password)
	_, third := login(t, s, "student", password)

	code, out, errs := p.run(t, first+"\n", "token", "revoke")
	require.Equal(t, 0, code, errs)
	assert.NotContains(t, out, first)
	refusedSoon(t, s, first, "a revoked token")
	var claims struct {
		ID string `json:"jti"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(second, ".")[1])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(payload, &claims))
	code, out, errs = p.run(t, "", "token", "revoke", claims.ID)
	require.Equal(t, 0, code, errs)
	assert.Equal(t, "token "+claims.ID+" revoked\n", out)
	refusedSoon(t, s, second, "a revoked token")
	status, _ := postRow(t, s, third)
	assert.Equal(t, http.StatusOK, status, "the user's other token is good")

	code, out, errs = p.run(t, "", "user", "revoke", "student")
	require.Equal(t, 0, code, errs)
	assert.Equal(t, "tokens of student revoked\n", out)
	refusedSoon(t, s, third, "a revoked user")
	status, again := login(t, s, "student", password)
	require.Equal(t, http.StatusOK, status)
	status, _ = postRow(t, s, again)
	assert.Equal(t, http.StatusOK, status, "who logs in again is let in at once")
	for _, line := range []string{
		`msg="model serves" .* audit=true`,
		`msg="token issued" audit=true user=student jti=` + regexp.QuoteMeta(claims.ID),
		`msg="token revoked" jti=` + regexp.QuoteMeta(claims.ID) + ` audit=true`,
		`msg="tokens of a user revoked" user=student audit=true`,
	} {
		assert.Regexp(t, line, p.log.String())
	}
	for _, secret := range []string{first, second, third, again, password} {
		assert.NotContains(t, p.log.String(), secret)
	}

	for _, row := range []struct {
		stdin string
		args  []string
		says  string
	}{
		{"", []string{"token", "revoke"}, "standard input is empty"},
		{"hunter2\n", []string{"token", "revoke"}, "nobody accepts it"},
		{"", []string{"token", "revoke", first}, "no token ID"},
		{"", []string{"user", "revoke", "nobody"}, "no such user"},
		{"", []string{"token", "rotate-key"}, "SECRET_KEY_PREVIOUS"},
	} {
		code, _, errs := p.run(t, row.stdin, row.args...)
		assert.NotZero(t, code, row.args)
		assert.Contains(t, errs, row.says)
		assert.NotContains(t, errs, "hunter2")
		assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
	}
}

// TestEdDSA rotates the key under a running API: tokens before and after are
// good, and another program verifies both with the published keys.
func TestEdDSA(t *testing.T) {
	p := newProject(t, "TOKEN_SIGNING_ALG=EdDSA")
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	_, old := login(t, s, "student", p.initialPassword(t))
	verified := func(raw string) error {
		_, err := jwt.Parse(raw, publishedKey(t, s), jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithLeeway(time.Second))
		return err
	}
	require.NoError(t, verified(old))

	code, out, errs := p.run(t, "", "token", "rotate-key")
	require.Equal(t, 0, code, errs)
	id := regexp.MustCompile(`new key (\S+) `).FindStringSubmatch(out)[1]
	require.Eventually(t, func() bool {
		status, raw := login(t, s, "student", p.initialPassword(t))
		require.Equal(t, http.StatusOK, status)
		status, _ = postRow(t, s, raw)
		require.Equal(t, http.StatusOK, status)
		require.NoError(t, verified(raw))
		parsed, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{})
		require.NoError(t, err)
		return parsed.Header["kid"] == id
	}, 20*time.Second, 500*time.Millisecond, "tokens are signed with the new key")
	status, _ := postRow(t, s, old)
	assert.Equal(t, http.StatusOK, status)
	require.NoError(t, verified(old))
	assert.NoFileExists(t, filepath.Join(p.dir, "var", "secret_key"), "no secret is made that nobody needs")
}

func publishedKey(t *testing.T, s *Server) jwt.Keyfunc {
	t.Helper()
	resp, err := http.Get("http://" + s.Address().String() + "/.well-known/jwks.json")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/jwk-set+json", resp.Header.Get("Content-Type"))
	var set struct {
		Keys []struct{ Kid, X string }
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&set))
	return func(token *jwt.Token) (any, error) {
		for _, k := range set.Keys {
			if k.Kid == token.Header["kid"] {
				x, err := base64.RawURLEncoding.DecodeString(k.X)
				return ed25519.PublicKey(x), err
			}
		}
		return nil, jwt.ErrTokenUnverifiable
	}
}

func TestDatabaseCommands(t *testing.T) {
	p := newProject(t)
	file := filepath.Join(p.dir, "backup.db")
	code, _, errs := p.run(t, "", "backup", file)
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "users.db: no such file")
	assert.NoFileExists(t, filepath.Join(p.dir, "users.db"), "a backup makes no database")

	code, out, errs := p.run(t, "", "migrate")
	require.Equal(t, 0, code, errs)
	assert.Equal(t, "the schema is brought from version 0 to 3\n", out)
	code, out, errs = p.run(t, "", "migrate")
	require.Equal(t, 0, code, errs)
	assert.Equal(t, "the schema has version 3 already\n", out)

	s := p.start(t)
	initial := p.initialPassword(t)
	code, out, errs = p.run(t, "", "backup", file)
	require.Equal(t, 0, code, errs)
	assert.Contains(t, out, file)
	code, _, errs = p.run(t, "", "backup", file)
	assert.Equal(t, 1, code)
	assert.Equal(t, "api: backup: "+file+" is there already; name a new file\n", errs)
	require.NoError(t, s.Stop())

	restored := newProject(t)
	restored.environ = append(restored.environ, "DATABASE_URL=sqlite:///"+file)
	s = restored.start(t)
	status, _ := login(t, s, "student", initial)
	assert.Equal(t, http.StatusOK, status, "the backup is a database like any other")

	p.environ = append(p.environ, "DATABASE_URL=postgresql://petal:hunter2@127.0.0.1:1/accounts")
	code, _, errs = p.run(t, "", "backup", filepath.Join(p.dir, "new.db"))
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "pg_dump")
	assert.NotContains(t, errs, "hunter2")
	code, _, errs = p.run(t, "", "migrate")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "api: DATABASE_URL: ")
	assert.NotContains(t, errs, "hunter2")
	assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
}

// get returns the status of a page that wants a token.
func get(t *testing.T, s *Server, path, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+s.Address().String()+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// A reload takes over the keys of the settings: tokens of the key before are good as
// long as it is named.
func TestReloadKeys(t *testing.T) {
	const before, after = "vQ7m2Zc9R4xT1pL8sK3wN6yB5dF0hJqU", "mT4kW8zQ1vX6cN9rY3bL7jH2gP5sD0fA"
	p := newProject(t)
	env := func(lines string) settings.API {
		require.NoError(t, os.WriteFile(filepath.Join(p.dir, ".env"), []byte(lines), 0o600))
		cfg, err := settings.Load[settings.API](p.dir, p.environ)
		require.NoError(t, err)
		return cfg
	}
	env("SECRET_KEY=" + before)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	password := p.initialPassword(t)
	_, old := login(t, s, "student", password)
	require.NoError(t, s.Reload(env("SECRET_KEY="+after+"\nSECRET_KEY_PREVIOUS="+before+"\n")))
	_, fresh := login(t, s, "student", password)
	for _, token := range []string{old, fresh} {
		status, _ := postRow(t, s, token)
		assert.Equal(t, http.StatusOK, status)
	}
	require.NoError(t, s.Reload(env("SECRET_KEY="+after)))
	status, _ := postRow(t, s, old)
	assert.Equal(t, http.StatusUnauthorized, status)
	status, _ = postRow(t, s, fresh)
	assert.Equal(t, http.StatusOK, status)
	require.Error(t, s.Reload(env("TOKEN_SIGNING_ALG=EdDSA")))
}
