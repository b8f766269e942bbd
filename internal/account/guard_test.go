package account_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/credential"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// flakyStore is a store that can be taken away, and counts what it is asked.
type flakyStore struct {
	account.Store
	away     atomic.Bool
	readOnly atomic.Bool
	slow     atomic.Bool // the next key is written until somebody gives up
	asked    atomic.Int64
	read     atomic.Int64 // rows
}

var errAway = errors.New("the server has gone away")

func (s *flakyStore) Generation(ctx context.Context) (int64, error) {
	s.asked.Add(1)
	if s.away.Load() {
		return 0, errAway
	}
	return s.Store.Generation(ctx)
}

func (s *flakyStore) Grants(ctx context.Context, since int64, now time.Time) (account.Grants, error) {
	if s.away.Load() {
		return account.Grants{}, errAway
	}
	grants, err := s.Store.Grants(ctx, since, now)
	s.read.Add(int64(len(grants.Users) + len(grants.Revoked) + len(grants.Keys)))
	return grants, err
}

func (s *flakyStore) UseKey(ctx context.Context, id string, at time.Time) error {
	if s.readOnly.Load() {
		return errors.New("the disk is full")
	}
	if s.slow.CompareAndSwap(true, false) {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.UseKey(ctx, id, at)
}

// guard starts a guard of the house that looks so often.
func (h *house) guard(t testing.TB, interval, maxStale time.Duration) (*account.Guard, *flakyStore) {
	t.Helper()
	store := &flakyStore{Store: h.store}
	g, err := account.StartGuard(t.Context(), account.GuardConfig{
		Store: store, Log: slog.New(slog.NewJSONHandler(h.log, nil)), Now: h.clock, Interval: interval, MaxStale: maxStale,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, g.Close()) })
	return g, store
}

func eventually(t *testing.T, why string, check func() bool) {
	t.Helper()
	require.Eventually(t, check, 10*time.Second, 2*time.Millisecond, why)
}

func TestGuardRevokes(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	user, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	g, _ := h.guard(t, time.Hour, 0) // it looks only when it has to
	check := func(epoch int64) error { return g.CheckToken(ctx, "ada", epoch, "0.x") }
	require.NoError(t, check(user.Epoch))
	require.ErrorIs(t, g.CheckToken(ctx, "nobody", 0, "0.x"), account.ErrRevoked)
	require.ErrorIs(t, check(user.Epoch+7), account.ErrRevoked, "an epoch that has not come")

	require.NoError(t, h.SetPassword(ctx, "ada", otherPassword))
	require.NoError(t, check(user.Epoch), "not seen yet")
	require.NoError(t, g.Refresh(ctx))
	require.ErrorIs(t, check(user.Epoch), account.ErrRevoked)
	user, err = h.Authenticate(ctx, "ada", otherPassword, client)
	require.NoError(t, err)
	require.NoError(t, check(user.Epoch))

	require.NoError(t, h.SetDisabled(ctx, "ada", true))
	require.NoError(t, g.Refresh(ctx))
	require.ErrorIs(t, check(user.Epoch), account.ErrRevoked)
	require.NoError(t, h.SetDisabled(ctx, "ada", false))
	require.NoError(t, g.Refresh(ctx))
	require.ErrorIs(t, check(user.Epoch), account.ErrRevoked, "being let in again revives nothing")
	require.NoError(t, h.SetDisabled(ctx, "ada", false))
	require.NoError(t, check(user.Epoch+2), "letting in twice changes nothing")

	require.NoError(t, h.RevokeToken(ctx, "0.x", h.clock().Add(time.Minute)))
	require.NoError(t, h.RevokeToken(ctx, "0.expired", h.clock()), "nothing to do")
	require.NoError(t, g.Refresh(ctx))
	require.ErrorIs(t, check(user.Epoch+2), account.ErrRevoked)
	require.NoError(t, g.CheckToken(ctx, "ada", user.Epoch+2, "0.y"))
	require.ErrorIs(t, h.Revoke(ctx, "nobody"), account.ErrNotFound)
}

// TestGuardSeesNewEpochsAtOnce logs in right after another process has changed
// the password: the guard has not seen that yet, and does not mistake the new
// token for an old one.
func TestGuardSeesNewEpochsAtOnce(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	g, store := h.guard(t, time.Hour, 0)
	user, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	require.NoError(t, g.CheckToken(ctx, "ada", user.Epoch, "0.x"))
	require.NoError(t, h.Revoke(ctx, "ada"))
	require.NoError(t, g.CheckToken(ctx, "ada", user.Epoch+1, "1.x"))
	asked := store.asked.Load()
	for range 100 {
		require.NoError(t, g.CheckToken(ctx, "ada", user.Epoch+1, "1.x"))
	}
	require.Equal(t, asked, store.asked.Load(), "what it knows it does not ask again")
}

func TestGuardKeys(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	g, _ := h.guard(t, time.Hour, 0)
	text, k, err := h.AddKey(ctx, "nightly-batch", []string{"predict", "predict"}, time.Hour)
	require.NoError(t, err)
	require.Regexp(t, `^petal_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$`, text)
	require.Contains(t, text, k.ID)

	got, err := g.CheckKey(ctx, text)
	require.NoError(t, err)
	require.Equal(t, "key:"+k.ID, got.Subject())
	require.Equal(t, []string{"predict"}, got.Scopes)
	altered := func(i int) string {
		b := []byte(text)
		b[i] ^= 1
		return string(b)
	}
	for name, bad := range map[string]string{
		"nothing": "", "the prefix": "petal_", "a token": "eyJhbGciOiJub25lIn0.e30.", "cut": text[:len(text)-1], "longer": text + "A",
		"last sign": altered(len(text) - 1), "first sign of the secret": altered(len(text) - 43), "another ID": altered(len("petal_")),
		"no underscore": altered(len(text) - 44), "prefix in capitals": strings.Replace(text, "petal", "PETAL", 1), "a space": text + " ",
	} {
		_, err := g.CheckKey(ctx, bad)
		require.ErrorIs(t, err, account.ErrKey, name)
	}

	h.wait(time.Hour - time.Microsecond)
	_, err = g.CheckKey(ctx, text)
	require.NoError(t, err)
	h.wait(time.Microsecond)
	_, err = g.CheckKey(ctx, text)
	require.ErrorIs(t, err, account.ErrKeyExpired)
	_, err = h.RevokeKey(ctx, text) // by its whole text, for who has nothing else
	require.NoError(t, err)
	require.NoError(t, g.Refresh(ctx))
	_, err = g.CheckKey(ctx, text)
	require.ErrorIs(t, err, account.ErrRevoked)
	_, err = h.RevokeKey(ctx, "0123456789abcdef")
	require.ErrorIs(t, err, account.ErrNoKey)

	require.NotContains(t, h.log.String(), text[len(text)-43:])
	require.Equal(t, 1, strings.Count(h.log.String(), `"API key added","audit":true`))
	require.Equal(t, 1, strings.Count(h.log.String(), `"API key revoked","audit":true`))
}

func TestAddKeyRefuses(t *testing.T) {
	h := newHouse(t)
	tests := []struct {
		name     string
		key      string
		scopes   []string
		lifetime time.Duration
		want     error
	}{
		{"no name", "", nil, time.Hour, credential.ErrUsername},
		{"a line break", "a\nb", nil, time.Hour, credential.ErrUsername},
		{"an unknown scope", "a", []string{"predict", "root"}, time.Hour, account.ErrScope},
		{"no lifetime", "a", nil, 0, account.ErrKeyLifetime},
		{"a past lifetime", "a", nil, -time.Hour, account.ErrKeyLifetime},
		{"for ever", "a", nil, account.MaxKeyLifetime + 1, account.ErrKeyLifetime},
	}
	for _, tt := range tests {
		_, _, err := h.AddKey(t.Context(), tt.key, tt.scopes, tt.lifetime)
		require.ErrorIs(t, err, tt.want, tt.name)
	}
	keys, err := h.Keys(t.Context())
	require.NoError(t, err)
	require.Empty(t, keys)
}

// TestKeysAreKeptHashed looks for the secret in the bytes of the database.
func TestKeysAreKeptHashed(t *testing.T) {
	h := newHouse(t)
	text, k, err := h.AddKey(t.Context(), "nightly", nil, time.Hour)
	require.NoError(t, err)
	raw, err := sql.Open("sqlite", h.database)
	require.NoError(t, err)
	defer func() { _ = raw.Close() }()
	var row string
	require.NoError(t, raw.QueryRowContext(t.Context(), `SELECT id || name || hash || scopes FROM api_keys`).Scan(&row))
	require.Contains(t, row, k.ID)
	require.NotContains(t, row, text[len(text)-43:])
	require.Contains(t, row, fmt.Sprintf("%x", k.Hash))
}

func TestKeyUseIsCoarse(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	g, store := h.guard(t, 5*time.Millisecond, 0)
	text, _, err := h.AddKey(ctx, "nightly", nil, 24*time.Hour)
	require.NoError(t, err)
	start := h.clock()
	lastUsed := func() time.Time {
		keys, err := h.Keys(ctx)
		require.NoError(t, err)
		return keys[0].LastUsed
	}
	require.True(t, lastUsed().IsZero())
	h.wait(20 * time.Minute)
	for range 3 {
		_, err = g.CheckKey(ctx, text)
		require.NoError(t, err)
	}
	eventually(t, "the hour is written down", func() bool { return lastUsed().Equal(start) })
	h.wait(50 * time.Minute)
	store.readOnly.Store(true)
	_, err = g.CheckKey(ctx, text)
	require.NoError(t, err)
	eventually(t, "told", func() bool { return strings.Contains(h.log.String(), "the disk is full") })
	_, err = g.CheckKey(ctx, text)
	require.NoError(t, err, "a full disk keeps nobody out")
	require.Equal(t, 1, strings.Count(h.log.String(), "the disk is full"), "told once an hour")

	store.readOnly.Store(false)
	h.wait(time.Hour)
	_, err = g.CheckKey(ctx, text)
	require.NoError(t, err)
	require.NoError(t, g.Close(), "what is not written yet is written now")
	require.Equal(t, start.Add(2*time.Hour), lastUsed())
}

// TestCloseWritesWhatItInterrupted closes the guard while it writes.
func TestCloseWritesWhatItInterrupted(t *testing.T) {
	h := newHouse(t)
	g, store := h.guard(t, 5*time.Millisecond, 0)
	text, _, err := h.AddKey(t.Context(), "nightly", nil, time.Hour)
	require.NoError(t, err)
	store.slow.Store(true)
	_, err = g.CheckKey(t.Context(), text)
	require.NoError(t, err)
	eventually(t, "begun to write", func() bool { return !store.slow.Load() })
	require.NoError(t, g.Close())
	keys, err := h.Keys(t.Context())
	require.NoError(t, err)
	require.Equal(t, h.clock(), keys[0].LastUsed)
}

// TestStrangersCannotFlood shows many unknown keys at once: they share a few
// looks at the database.
func TestStrangersCannotFlood(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	g, store := h.guard(t, time.Hour, 0)
	begin := time.Now()
	var strangers sync.WaitGroup
	for i := range 8 {
		strangers.Go(func() {
			for j := range 10 {
				_, err := g.CheckKey(ctx, fmt.Sprintf("petal_%08x%08x_%s", i, j, strings.Repeat("A", 43)))
				assert.ErrorIs(t, err, account.ErrKey)
			}
		})
	}
	strangers.Wait()
	looks := store.asked.Load()
	require.LessOrEqual(t, looks, int64(time.Since(begin)/(50*time.Millisecond))+2)
	require.Less(t, looks, int64(60), "eighty strangers")
}

// TestGuardWithoutDatabase: for a while the guard goes on with what it knows,
// then it lets nobody in, and when the database is back all is as before.
func TestGuardWithoutDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx := t.Context()
		_, err := h.Add(ctx, "ada", goodPassword, nil)
		require.NoError(t, err)
		text, _, err := h.AddKey(ctx, "nightly", nil, time.Hour)
		require.NoError(t, err)
		g, store := h.guard(t, time.Second, time.Minute)
		check := func() error { return g.CheckToken(ctx, "ada", 0, "0.x") }
		store.away.Store(true)
		time.Sleep(50 * time.Second)
		require.NoError(t, check())
		require.ErrorIs(t, g.CheckToken(ctx, "bob", 0, "0.x"), account.ErrUnavailable, "nothing is known of bob")
		time.Sleep(15 * time.Second)
		require.ErrorIs(t, check(), account.ErrUnavailable)
		_, err = g.CheckKey(ctx, text)
		require.ErrorIs(t, err, account.ErrUnavailable)
		require.ErrorIs(t, g.Refresh(ctx), account.ErrUnavailable)

		require.NoError(t, h.Revoke(ctx, "ada"))
		store.away.Store(false)
		time.Sleep(2 * time.Second)
		require.ErrorIs(t, check(), account.ErrRevoked)
		_, err = g.CheckKey(ctx, text)
		require.NoError(t, err)
		require.Contains(t, h.log.String(), errAway.Error())
		for _, line := range []string{"revocations are not seen", "nobody is let in\"", "the account database is back"} {
			require.Equal(t, 1, strings.Count(h.log.String(), line), line)
		}
	})
}

// TestGuardWaitsForADatabase: started without one, it lets nobody in until there is
// one, and takes nothing in it for a change.
func TestGuardWaitsForADatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx := t.Context()
		elsewhere := openHouse(t, h.database, t.TempDir())
		_, err := elsewhere.Add(ctx, "ada", goodPassword, nil)
		require.NoError(t, err)
		store := &flakyStore{Store: h.store}
		store.away.Store(true)
		g, err := account.StartGuard(ctx, account.GuardConfig{Store: store, Log: slog.New(slog.NewJSONHandler(h.log, nil)), Now: h.clock, Wait: true})
		require.NoError(t, err)
		defer func() { assert.NoError(t, g.Close()) }()
		for range 3 {
			require.ErrorIs(t, g.CheckToken(ctx, "ada", 0, "0.x"), account.ErrUnavailable)
			_, err = g.CheckKey(ctx, "petal_0123456789abcdef_"+strings.Repeat("A", 43))
			require.ErrorIs(t, err, account.ErrUnavailable)
			time.Sleep(time.Minute)
		}
		store.away.Store(false)
		time.Sleep(2 * time.Second)
		require.NoError(t, g.CheckToken(ctx, "ada", 0, "0.x"))
		require.NotContains(t, h.log.String(), "user added")
		require.NoError(t, elsewhere.Revoke(ctx, "ada"))
		time.Sleep(2 * time.Second)
		require.ErrorIs(t, g.CheckToken(ctx, "ada", 0, "0.x"), account.ErrRevoked)
		require.Contains(t, h.log.String(), "tokens of a user revoked")
	})
}

func TestGuardNeedsADatabase(t *testing.T) {
	h := newHouse(t)
	require.NoError(t, h.store.Close())
	_, err := account.StartGuard(t.Context(), account.GuardConfig{Store: h.store})
	require.Error(t, err)
	golden.New(t).Add("a closed database", err)
}

// TestGuardAudits leaves a trace of what other processes change.
func TestGuardAudits(t *testing.T) {
	h := newHouse(t)
	elsewhere := openHouse(t, h.database, t.TempDir())
	ctx := t.Context()
	_, err := elsewhere.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	g, _ := h.guard(t, time.Hour, 0)
	require.Empty(t, h.log.String(), "what was there at the start is no change")

	_, err = elsewhere.Add(ctx, "bob", goodPassword, nil)
	require.NoError(t, err)
	text, k, err := elsewhere.AddKey(ctx, "nightly", nil, time.Hour)
	require.NoError(t, err)
	require.NoError(t, elsewhere.SetPassword(ctx, "ada", otherPassword))
	require.NoError(t, elsewhere.RevokeToken(ctx, "0.x", h.clock().Add(time.Hour)))
	require.NoError(t, g.Refresh(ctx))
	require.NoError(t, elsewhere.SetDisabled(ctx, "bob", true))
	_, err = elsewhere.RevokeKey(ctx, k.ID)
	require.NoError(t, err)
	require.NoError(t, g.Refresh(ctx))

	log := h.log.String()
	for _, line := range []string{
		`"msg":"user added","user":"bob","audit":true,"observed":true`,
		`"msg":"tokens of a user revoked","user":"ada","audit":true`,
		`"msg":"token revoked","jti":"0.x","audit":true`,
		`"msg":"user disabled or enabled","user":"bob","disabled":true`,
		`"msg":"API key added","key":"` + k.ID + `","name":"nightly","scopes":["predict","model:read"]`,
		`"msg":"API key revoked","key":"` + k.ID + `"`,
	} {
		require.Equal(t, 1, strings.Count(log, line), "%s in %s", line, log)
	}
	require.NotContains(t, log, text[len(text)-43:])
}

// TestGuardReadsWhatHasChanged counts the rows that a guard reads. What was changed
// by hand, or by a program of before, it finds by counting, and then reads everything.
func TestGuardReadsWhatHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 50
		h := newHouse(t)
		ctx := t.Context()
		for i := range users {
			require.NoError(t, h.store.CreateUser(ctx, account.User{Name: fmt.Sprintf("user-%d", i)}))
		}
		text, _, err := h.AddKey(ctx, "nightly", nil, 10*time.Hour)
		require.NoError(t, err)
		raw, err := sql.Open("sqlite", h.database)
		require.NoError(t, err)
		defer func() { assert.NoError(t, raw.Close()) }()
		byHand := func(query string) func() error {
			return func() error { _, err := raw.ExecContext(ctx, query); return err }
		}
		g, store := h.guard(t, time.Second, 0)
		everything := func() int64 { return int64(users + 1) }
		require.Equal(t, everything(), store.read.Swap(0))
		check := func(user string) error { return g.CheckToken(ctx, user, 0, "0.x") }
		for _, step := range []struct {
			name  string
			do    func() error
			after time.Duration
			rows  int64
			seen  func() error
		}{
			{"nothing", func() error { return nil }, 5 * time.Minute, 0, nil},
			{"a user", func() error { return h.SetDisabled(ctx, "user-1", true) }, 2 * time.Second, 1, func() error { return check("user-1") }},
			{"a token", func() error { return h.RevokeToken(ctx, "0.y", h.clock().Add(time.Hour)) }, 2 * time.Second, 1, func() error { return g.CheckToken(ctx, "user-2", 0, "0.y") }},
			{"a user by hand", byHand(`UPDATE users SET disabled = 1 WHERE name = 'user-3'`), 35 * time.Second, users + 2, func() error { return check("user-3") }},
			{"an epoch by hand", byHand(`UPDATE users SET epoch = 1 WHERE name = 'user-4'`), 35 * time.Second, users + 2, func() error { return check("user-4") }},
			{"gone by hand", byHand(`DELETE FROM users WHERE name = 'user-5'`), 35 * time.Second, users + 1, func() error { return check("user-5") }},
			{"the generation alone", byHand(`UPDATE users SET disabled = 1 WHERE name = 'user-6'; UPDATE access_generation SET generation = generation + 1`), 2 * time.Second, users + 1, func() error { return check("user-6") }},
			{"the use of a key", func() error { _, err := g.CheckKey(ctx, text); return err }, time.Minute, 0, nil},
			{"an hour", func() error { return nil }, 67 * time.Minute, users + 1, nil},
		} {
			if step.seen != nil {
				require.NoError(t, step.seen(), step.name)
			}
			require.NoError(t, step.do(), step.name)
			time.Sleep(step.after)
			require.Equal(t, step.rows, store.read.Swap(0), step.name)
			if step.seen != nil {
				require.ErrorIs(t, step.seen(), account.ErrRevoked, step.name)
			}
			store.read.Store(0)
		}
	})
}

func TestGuardAllocatesNothing(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	require.NoError(t, h.RevokeToken(ctx, "0.other", h.clock().Add(time.Hour)))
	text, _, err := h.AddKey(ctx, "nightly", nil, time.Hour)
	require.NoError(t, err)
	g, _ := h.guard(t, time.Hour, 0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := g.CheckToken(ctx, "ada", 0, "0.x"); err != nil {
			t.Error(err)
		}
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := g.CheckKey(ctx, text); err != nil {
			t.Error(err)
		}
	}))
}

func BenchmarkGuard(b *testing.B) {
	h := openHouse(b, filepath.Join(b.TempDir(), "users.db"), b.TempDir())
	_, err := h.Add(b.Context(), "ada", goodPassword, nil)
	require.NoError(b, err)
	g, _ := h.guard(b, time.Second, 0)
	text, _, err := h.AddKey(b.Context(), "nightly", nil, time.Hour)
	require.NoError(b, err)
	require.NoError(b, h.RevokeToken(b.Context(), "0.other", h.clock().Add(time.Hour)))
	require.NoError(b, g.Refresh(b.Context()))
	b.Run("token", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := g.CheckToken(b.Context(), "ada", 0, "0.AAAAAAAAAAAAAAAAAAAAAA"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := g.CheckKey(b.Context(), text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
