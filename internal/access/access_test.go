package access_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/access"
	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/internal/token"
)

const (
	keyA     = "q8Zt3VxW0pLmKjN7bR5yHc2GfD9sUaE1iOwTzXvBnM4"
	keyB     = "H2kd9Qw7ZrTfYpLx5NcVbM1sGjA8uEi3oR6tXzKqWv0"
	password = "tulpen am fenster 7"
)

// house is a gate with all that stands behind it, on a real database.
type house struct {
	*access.Gate
	store    *sqlstore.Store
	accounts *account.Service
	guard    *account.Guard
	issuer   *token.Issuer
	verifier *token.Verifier

	mu  sync.Mutex
	now time.Time
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	h.store, err = sqlstore.Open(t.Context(), sqlstore.SQLite, filepath.Join(t.TempDir(), "users.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.store.Close() })
	h.accounts = account.New(account.Config{Store: h.store, StateDir: t.TempDir(), Now: h.clock})
	_, err = h.accounts.Add(t.Context(), "ada", password, nil)
	require.NoError(t, err)
	h.guard, err = account.StartGuard(t.Context(), account.GuardConfig{Store: h.store, Now: h.clock, Interval: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, h.guard.Close()) })
	ring, err := token.NewKeyring([]byte(keyA))
	require.NoError(t, err)
	cfg := token.DefaultConfig(30 * time.Minute)
	cfg.Now = h.clock
	h.issuer, err = token.NewIssuer(ring, cfg)
	require.NoError(t, err)
	h.verifier, err = token.NewVerifier(ring, cfg)
	require.NoError(t, err)
	h.Gate = access.NewGate(h.verifier, h.guard)
	return h
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) login(t testing.TB, scopes ...string) (string, token.Claims) {
	t.Helper()
	user, err := h.store.User(t.Context(), "ada")
	require.NoError(t, err)
	raw, claims, err := h.issuer.Issue(token.Grant{Subject: "ada", Scopes: scopes, Epoch: user.Epoch})
	require.NoError(t, err)
	return raw, claims
}

func TestPrincipals(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	raw, claims := h.login(t, "predict")
	text, k, err := h.accounts.AddKey(ctx, "nightly", []string{"model:read"}, time.Hour)
	require.NoError(t, err)
	for range 2 { // the second time from memory
		p, err := h.Authenticate(ctx, raw)
		require.NoError(t, err)
		require.Equal(t, access.Principal{Name: "ada", Scopes: []string{"predict"}, Expires: claims.Expires, TokenID: claims.ID}, p)
		require.True(t, p.HasScope("predict"))
		require.False(t, p.HasScope("model:read"))

		p, err = h.Authenticate(ctx, text)
		require.NoError(t, err)
		require.Equal(t, access.Principal{Name: "key:" + k.ID, Scopes: []string{"model:read"}, Expires: k.Expires}, p)
	}
}

// TestRememberedTokensAreRechecked shows each token once, so that it is
// remembered, then takes away what it stands on.
func TestRememberedTokensAreRechecked(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, h *house, claims token.Claims)
		want error
	}{
		{"nothing", func(*testing.T, *house, token.Claims) {}, nil},
		{"it expires", func(_ *testing.T, h *house, _ token.Claims) { h.wait(30 * time.Minute) }, access.ErrExpired},
		{"it is revoked", func(t *testing.T, h *house, c token.Claims) {
			require.NoError(t, h.accounts.RevokeToken(t.Context(), c.ID, c.Expires))
		}, access.ErrInvalid},
		{"another token is revoked", func(t *testing.T, h *house, c token.Claims) {
			require.NoError(t, h.accounts.RevokeToken(t.Context(), c.ID+"x", c.Expires))
		}, nil},
		{"the user is revoked", func(t *testing.T, h *house, _ token.Claims) {
			require.NoError(t, h.accounts.Revoke(t.Context(), "ada"))
		}, access.ErrInvalid},
		{"the user is disabled", func(t *testing.T, h *house, _ token.Claims) {
			require.NoError(t, h.accounts.SetDisabled(t.Context(), "ada", true))
		}, access.ErrInvalid},
		{"the password changes", func(t *testing.T, h *house, _ token.Claims) {
			require.NoError(t, h.accounts.SetPassword(t.Context(), "ada", "regen auf dem dach 9"))
		}, access.ErrInvalid},
		{"the key is retired", func(t *testing.T, h *house, _ token.Claims) {
			ring, err := token.NewKeyring([]byte(keyB))
			require.NoError(t, err)
			h.verifier.SetKeys(ring)
		}, access.ErrInvalid},
		{"the key rotates", func(t *testing.T, h *house, _ token.Claims) {
			ring, err := token.NewKeyring([]byte(keyB), []byte(keyA))
			require.NoError(t, err)
			h.verifier.SetKeys(ring)
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			raw, claims := h.login(t, "predict")
			_, err := h.Authenticate(t.Context(), raw)
			require.NoError(t, err)
			tt.do(t, h, claims)
			require.NoError(t, h.guard.Refresh(t.Context()))
			_, err = h.Authenticate(t.Context(), raw)
			require.ErrorIs(t, err, tt.want)
			if err != nil {
				require.NotContains(t, err.Error(), raw)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	raw, _ := h.login(t, "predict")
	text, k, err := h.accounts.AddKey(ctx, "nightly", nil, time.Minute)
	require.NoError(t, err)
	revoked, other, err := h.accounts.AddKey(ctx, "nightly", nil, time.Hour)
	require.NoError(t, err)
	_, err = h.accounts.RevokeKey(ctx, other.ID)
	require.NoError(t, err)
	h.wait(time.Minute)
	tests := []struct {
		name, bearer string
		want         error
	}{
		{"nothing", "", access.ErrInvalid},
		{"not a token", "hunter2", access.ErrInvalid},
		{"an altered token", raw[:len(raw)-3] + "AAA", access.ErrInvalid},
		{"an expired key", text, access.ErrExpired},
		{"an expired key with another secret", strings.Replace(text, text[len(text)-20:], strings.Repeat("A", 20), 1), access.ErrInvalid},
		{"a revoked key", revoked, access.ErrInvalid},
		{"an unknown key", "petal_0123456789abcdef_" + strings.Repeat("A", 43), access.ErrInvalid},
		{"a key's ID", "petal_" + k.ID, access.ErrInvalid},
		{"a key in a token's clothes", "petal_" + raw, access.ErrInvalid},
	}
	for _, tt := range tests {
		_, err := h.Authenticate(ctx, tt.bearer)
		require.ErrorIs(t, err, tt.want, tt.name)
		if tt.bearer != "" {
			require.NotContains(t, err.Error(), tt.bearer, tt.name)
		}
	}
	require.NoError(t, h.store.Close())
	_, err = h.Authenticate(ctx, "petal_fedcba9876543210_"+strings.Repeat("A", 43))
	require.ErrorIs(t, err, access.ErrUnavailable)
}

func TestSeenTokensCostNoAllocation(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	raw, _ := h.login(t, "predict", "model:read")
	text, _, err := h.accounts.AddKey(ctx, "nightly", nil, time.Hour)
	require.NoError(t, err)
	for _, bearer := range []string{raw, text} {
		_, err := h.Authenticate(ctx, bearer)
		require.NoError(t, err)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if p, err := h.Authenticate(ctx, bearer); err != nil || !p.HasScope("predict") {
				t.Error(p, err)
			}
		}))
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	h := newHouse(b)
	ctx := context.Background()
	// The clock of a test takes a lock.
	guard, err := account.StartGuard(ctx, account.GuardConfig{Store: h.store})
	require.NoError(b, err)
	b.Cleanup(func() { assert.NoError(b, guard.Close()) })
	ring, err := token.NewKeyring([]byte(keyA))
	require.NoError(b, err)
	issuer, err := token.NewIssuer(ring, token.DefaultConfig(time.Hour))
	require.NoError(b, err)
	verifier, err := token.NewVerifier(ring, token.DefaultConfig(time.Hour))
	require.NoError(b, err)
	gate := access.NewGate(verifier, guard)
	raw, _, err := issuer.Issue(token.Grant{Subject: "ada", Scopes: account.DefaultScopes()})
	require.NoError(b, err)
	accounts := account.New(account.Config{Store: h.store})
	text, _, err := accounts.AddKey(ctx, "nightly", nil, time.Hour)
	require.NoError(b, err)
	for name, bearer := range map[string]string{"token": raw, "key": text} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := gate.Authenticate(ctx, bearer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
