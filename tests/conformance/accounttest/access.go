package accounttest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
)

func key(id string, created time.Time) account.Key {
	return account.Key{
		ID: id, Name: "machine of " + id, Hash: sha256.Sum256([]byte(id)), Scopes: []string{"predict"},
		Created: created, Expires: created.Add(time.Hour),
	}
}

// testGenerations: what others must see raises the generation; what they need
// not, does not, or they would read everything anew for nothing.
func testGenerations(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	other := replica()
	at := now.Truncate(time.Microsecond)
	require.NoError(t, store.CreateUser(ctx, user("ada")))
	require.NoError(t, store.CreateKey(ctx, key("k", at)))
	update := func(change func(*account.User)) func() error {
		return func() error {
			_, err := store.UpdateUser(ctx, "ada", func(u *account.User) error { change(u); return nil })
			return err
		}
	}
	tests := []struct {
		name   string
		do     func() error
		raises bool
	}{
		{"nothing", func() error { return nil }, false},
		{"a user is added", func() error { return store.CreateUser(ctx, user("bob")) }, true},
		{"a name is taken", func() error {
			if err := store.CreateUser(ctx, user("bob")); !errors.Is(err, account.ErrExists) {
				return fmt.Errorf("not refused: %w", err)
			}
			return nil
		}, false},
		{"an epoch", update(func(u *account.User) { u.Epoch++ }), true},
		{"disabling", update(func(u *account.User) { u.Disabled = true }), true},
		{"a new hash of the same password", update(func(u *account.User) { u.PasswordHash = "new" }), false},
		{"a failed login", func() error {
			_, err := store.AddFailure(ctx, []account.Limit{{Subject: "a", Max: 1}}, now, now.Add(-time.Hour), ahead)
			return err
		}, false},
		{"a token is revoked", func() error { return store.RevokeToken(ctx, "t", now.Add(time.Hour), now) }, true},
		{"a key is added", func() error { return store.CreateKey(ctx, key("k2", at)) }, true},
		{"a key is used", func() error { return store.UseKey(ctx, "k", now) }, false},
		{"a key is revoked", func() error { _, err := store.RevokeKey(ctx, "k", now); return err }, true},
	}
	for _, tt := range tests {
		before, err := other.Generation(ctx)
		require.NoError(t, err, tt.name)
		require.NoError(t, tt.do(), tt.name)
		after, err := other.Generation(ctx)
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.raises, after > before, tt.name)
	}
	grants, err := other.Grants(ctx, account.Everything, now)
	require.NoError(t, err)
	generation, err := other.Generation(ctx)
	require.NoError(t, err)
	require.Equal(t, generation, grants.Generation)
	require.Equal(t, map[string]account.Standing{"ada": {Epoch: 1, Disabled: true}, "bob": {}}, grants.Users)
	require.Equal(t, []string{"t"}, slices.Collect(maps.Keys(grants.Revoked)))
	require.Len(t, grants.Keys, 2)
}

// testChanges: what has changed after a generation is read, and nothing else; a
// census shows what was changed without one.
func testChanges(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	other := replica()
	at := now.Truncate(time.Microsecond)
	for _, name := range []string{"ada", "bob", "Zoë"} {
		require.NoError(t, store.CreateUser(ctx, user(name)))
	}
	for _, id := range []string{"k1", "k2"} {
		require.NoError(t, store.CreateKey(ctx, key(id, at)))
	}
	require.NoError(t, store.RevokeToken(ctx, "0.a", now.Add(time.Hour), now))
	counted, err := other.Census(ctx, now)
	require.NoError(t, err)
	require.Equal(t, account.Census{Users: 3, Names: 9, Revoked: 1, Keys: 2, Expiry: 2 * at.Add(time.Hour).Unix()}, counted)
	before, err := other.Grants(ctx, account.Everything, now)
	require.NoError(t, err)
	require.Equal(t, []int{3, 1, 2}, []int{len(before.Users), len(before.Revoked), len(before.Keys)})

	none, err := other.Grants(ctx, before.Generation, now)
	require.NoError(t, err)
	require.Equal(t, account.Grants{Generation: before.Generation, Users: map[string]account.Standing{}, Revoked: map[string]time.Time{}}, none)

	_, err = store.UpdateUser(ctx, "bob", func(u *account.User) error { u.Epoch++; u.Disabled = true; return nil })
	require.NoError(t, err)
	_, err = store.RevokeKey(ctx, "k2", at)
	require.NoError(t, err)
	require.NoError(t, store.RevokeToken(ctx, "0.b", at.Add(time.Minute), now))
	changed, err := other.Grants(ctx, before.Generation, now)
	require.NoError(t, err)
	require.Equal(t, before.Generation+3, changed.Generation)
	require.Equal(t, map[string]account.Standing{"bob": {Epoch: 1, Disabled: true}}, changed.Users)
	require.Len(t, changed.Revoked, 1)
	require.True(t, at.Add(time.Minute).Equal(changed.Revoked["0.b"]))
	require.Len(t, changed.Keys, 1)
	require.Equal(t, "k2", changed.Keys[0].ID)
	counted, err = other.Census(ctx, now.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, account.Census{
		Users: 3, Names: 9, Epochs: 1, Disabled: 1, Revoked: 1, Keys: 2, KeysRevoked: 1, Expiry: 2 * at.Add(time.Hour).Unix(),
	}, counted)
}

func testRevokedTokens(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	require.NoError(t, store.RevokeToken(ctx, "0.long", now.Add(2*time.Hour), now))
	require.NoError(t, store.RevokeToken(ctx, "0.short", now.Add(time.Minute), now))
	require.NoError(t, store.RevokeToken(ctx, "0.long", now.Add(2*time.Hour), now), "twice is no fault")
	other := replica()
	revoked := func(at time.Time) []string {
		grants, err := other.Grants(ctx, account.Everything, at)
		require.NoError(t, err)
		return slices.Sorted(maps.Keys(grants.Revoked))
	}
	require.Equal(t, []string{"0.long", "0.short"}, revoked(now))
	require.Equal(t, []string{"0.long"}, revoked(now.Add(time.Minute)), "a token that has expired needs no revocation")
	require.NoError(t, store.RevokeToken(ctx, "0.new", now.Add(2*time.Hour), now.Add(time.Hour)))
	require.Equal(t, []string{"0.long", "0.new"}, revoked(time.UnixMicro(0)), "what has expired is forgotten")
}

func testKeys(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	at := now.Truncate(time.Microsecond)
	keys, err := store.Keys(ctx)
	require.NoError(t, err)
	require.Empty(t, keys)
	second, first := key("a", at.Add(time.Second)), key("b", at)
	first.Scopes = []string{"model:read", "predict"}
	require.NoError(t, store.CreateKey(ctx, second))
	require.NoError(t, store.CreateKey(ctx, first))
	require.ErrorIs(t, store.CreateKey(ctx, first), account.ErrExists)
	other := replica()
	keys, err = other.Keys(ctx)
	require.NoError(t, err)
	require.Equal(t, []account.Key{first, second}, keys)

	_, err = other.RevokeKey(ctx, "nobody's", at)
	require.ErrorIs(t, err, account.ErrNoKey)
	revoked, err := other.RevokeKey(ctx, "a", at.Add(time.Minute))
	require.NoError(t, err)
	second.Revoked = at.Add(time.Minute)
	require.Equal(t, second, revoked)
	revoked, err = store.RevokeKey(ctx, "a", at.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, second, revoked, "the first revocation stands")

	require.NoError(t, store.UseKey(ctx, "b", at.Add(time.Hour)))
	require.NoError(t, store.UseKey(ctx, "b", at.Add(time.Minute)), "a late note of an earlier use")
	require.NoError(t, store.UseKey(ctx, "nobody's", at), "a key that is gone is no fault")
	first.LastUsed = at.Add(time.Hour)
	keys, err = other.Keys(ctx)
	require.NoError(t, err)
	require.Equal(t, []account.Key{first, second}, keys)
}

// testChangesAtOnce loses a generation, or deadlocks, where changes do not wait
// for each other.
func testChangesAtOnce(t *testing.T, store account.Store, replica func() account.Store) {
	stores := []account.Store{store, replica()}
	require.NoError(t, store.CreateUser(t.Context(), user("ada")))
	before, err := store.Generation(t.Context())
	require.NoError(t, err)
	const workers, rounds = 8, 5
	atOnce(t, workers, func(ctx context.Context, i int) error {
		for round := range rounds {
			s, id := stores[i%2], fmt.Sprintf("%d-%d", i, round)
			_, err := s.UpdateUser(ctx, "ada", func(u *account.User) error { u.Epoch++; return nil })
			err = errors.Join(err, s.RevokeToken(ctx, id, now.Add(time.Hour), now), s.CreateKey(ctx, key(id, now)))
			if _, revokeErr := s.RevokeKey(ctx, id, now); revokeErr != nil || err != nil {
				return errors.Join(err, revokeErr)
			}
		}
		return nil
	})
	grants, err := store.Grants(t.Context(), account.Everything, now)
	require.NoError(t, err)
	require.Equal(t, before+4*workers*rounds, grants.Generation)
	require.Len(t, grants.Revoked, workers*rounds)
	require.Len(t, grants.Keys, workers*rounds)
}

// testReplicas is two programs on one database: users, failed logins, API keys
// and revocations of one count for the other.
func testReplicas(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	const password, other = "tulpen am fenster 7", "regen auf dem dach 9"
	client := netip.MustParseAddr("192.0.2.1")
	type program struct {
		*account.Service
		guard *account.Guard
	}
	start := func(s account.Store) program {
		guard, err := account.StartGuard(ctx, account.GuardConfig{Store: s, Interval: 20 * time.Millisecond})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, guard.Close()) })
		return program{account.New(account.Config{Store: s, StateDir: t.TempDir()}), guard}
	}
	a, b := start(store), start(replica())
	soon := func(what string, want error, check func() error) {
		t.Helper()
		require.Eventually(t, func() bool { return errors.Is(check(), want) }, 10*time.Second, 5*time.Millisecond, what)
	}

	ada, err := a.Add(ctx, "ada", password, nil)
	require.NoError(t, err)
	require.NoError(t, b.guard.CheckToken(ctx, "ada", ada.Epoch, "0.x"), "a new user counts at once")
	_, err = b.Authenticate(ctx, "ada", password, client)
	require.NoError(t, err)

	require.NoError(t, a.RevokeToken(ctx, "0.x", time.Now().Add(time.Hour)))
	soon("a revoked token", account.ErrRevoked, func() error { return b.guard.CheckToken(ctx, "ada", ada.Epoch, "0.x") })
	require.NoError(t, b.guard.CheckToken(ctx, "ada", ada.Epoch, "0.y"), "the user's other tokens are good")

	require.NoError(t, a.SetPassword(ctx, "ada", other))
	soon("a changed password", account.ErrRevoked, func() error { return b.guard.CheckToken(ctx, "ada", ada.Epoch, "0.y") })
	ada, err = a.Authenticate(ctx, "ada", other, client)
	require.NoError(t, err)
	require.NoError(t, b.guard.CheckToken(ctx, "ada", ada.Epoch, "1.x"), "who logs in again is let in at once")
	require.NoError(t, b.Revoke(ctx, "ada"))
	soon("a revoked user", account.ErrRevoked, func() error { return a.guard.CheckToken(ctx, "ada", ada.Epoch, "1.x") })

	text, k, err := a.AddKey(ctx, "nightly", []string{"predict"}, time.Hour)
	require.NoError(t, err)
	got, err := b.guard.CheckKey(ctx, text)
	require.NoError(t, err, "a new key counts at once")
	require.Equal(t, k.ID, got.ID)
	_, err = b.RevokeKey(ctx, k.ID)
	require.NoError(t, err)
	soon("a revoked key", account.ErrRevoked, func() error { _, err := a.guard.CheckKey(ctx, text); return err })

	for i := range 10 {
		_, err := []program{a, b}[i%2].Authenticate(ctx, "ada", "wrong", client)
		require.ErrorIs(t, err, account.ErrCredentials)
	}
	for _, p := range []program{a, b} {
		_, err = p.Authenticate(ctx, "ada", other, client)
		var throttled *account.ThrottledError
		require.ErrorAs(t, err, &throttled, "failures at both are counted together")
	}
}
