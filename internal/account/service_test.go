package account_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/internal/credential"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

const (
	goodPassword  = "tulpen am fenster 7"
	otherPassword = "regen auf dem dach 9"
)

var client = netip.MustParseAddr("192.0.2.1")

// house is a service on a real database, with a clock and a log that tests
// read.
type house struct {
	*account.Service
	store    *sqlstore.Store
	database string
	stateDir string
	log      *testenv.Buffer

	mu  sync.Mutex
	now time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	return openHouse(t, filepath.Join(t.TempDir(), "users.db"), t.TempDir())
}

func openHouse(t testing.TB, database, stateDir string) *house {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.SQLite, database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	h := &house{
		store: store, database: database, stateDir: stateDir, log: &testenv.Buffer{},
		now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
	}
	h.Service = account.New(account.Config{
		Store: store, StateDir: stateDir, Log: slog.New(slog.NewJSONHandler(h.log, nil)), Now: h.clock,
	})
	account.HashCheaply(h.Service)
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

func TestAuthenticate(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	added, err := h.Add(ctx, "ada", goodPassword, []string{"predict"})
	require.NoError(t, err)

	user, err := h.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
	require.Equal(t, added, user)

	tests := []struct{ name, user, password string }{
		{"wrong password", "ada", "tulpen am fenster 8"},
		{"unknown user", "bob", goodPassword},
		{"other case", "Ada", goodPassword},
		{"empty password", "ada", ""},
		{"empty name", "", goodPassword},
		{"more behind", "ada", goodPassword + strings.Repeat("x", 100)},
		{"a zero byte behind", "ada", goodPassword + "\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.Authenticate(ctx, tt.user, tt.password, netip.Addr{})
			require.Equal(t, account.ErrCredentials, err, "nothing tells one from the other")
		})
	}

	require.NoError(t, h.SetDisabled(ctx, "ada", true))
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	require.Equal(t, account.ErrCredentials, err)
	require.NoError(t, h.SetDisabled(ctx, "ada", false))
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
}

func TestPasswordsAreWholeAndNormalised(t *testing.T) {
	h := newHouse(t)
	// bcrypt would take the first 72 bytes for the whole.
	long := strings.Repeat("ein langes lied ", 5)
	_, err := h.Add(t.Context(), "ada", long+"a", nil)
	require.NoError(t, err)
	_, err = h.Authenticate(t.Context(), "ada", long+"b", client)
	require.ErrorIs(t, err, account.ErrCredentials)

	_, err = h.Add(t.Context(), "eve", "caf\u00e9 im regen 4", nil)
	require.NoError(t, err)
	_, err = h.Authenticate(t.Context(), "eve", "cafe\u0301 im regen 4", client)
	require.NoError(t, err, "the same text in another Unicode form")
}

func TestThrottleOfAccount(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	for _, name := range []string{"ada", "nobody"} {
		first := h.clock()
		for i := range 10 {
			addr := netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
			_, err := h.Authenticate(ctx, name, "wrong", addr)
			require.ErrorIs(t, err, account.ErrCredentials)
			h.wait(time.Second)
		}
		var throttled *account.ThrottledError
		_, err := h.Authenticate(ctx, name, goodPassword, client)
		require.ErrorAs(t, err, &throttled, "the right password is not heard either")
		require.Equal(t, first.Add(15*time.Minute).Sub(h.clock()), throttled.RetryAfter)

		h.wait(throttled.RetryAfter - time.Second)
		_, err = h.Authenticate(ctx, name, "wrong", client)
		require.ErrorAs(t, err, &throttled)
		h.wait(time.Second)
		_, err = h.Authenticate(ctx, name, "wrong", client)
		require.ErrorIs(t, err, account.ErrCredentials, "after Retry-After one more attempt is heard")
		_, err = h.Authenticate(ctx, name, "wrong", client)
		require.ErrorAs(t, err, &throttled)
		h.wait(16 * time.Minute)
	}
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
}

// fullDisk is a store that reads and does not write.
type fullDisk struct {
	*sqlstore.Store
	full atomic.Bool
}

func (d *fullDisk) AddFailure(ctx context.Context, limits []account.Limit, at, since, until time.Time) (bool, error) {
	if d.full.Load() {
		return false, errors.New("the disk is full")
	}
	return d.Store.AddFailure(ctx, limits, at, since, until)
}

// A guess that cannot be counted is the last one that is heard: else they would
// be free. It is counted when there is room again.
func TestThrottleOnFullDisk(t *testing.T) {
	h := newHouse(t)
	disk := &fullDisk{Store: h.store}
	s := account.New(account.Config{Store: disk, StateDir: h.stateDir, Now: h.clock})
	account.HashCheaply(s)
	ctx := t.Context()
	_, err := s.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	disk.full.Store(true)
	_, err = s.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err, "while nobody guesses, logins need no room")
	_, err = s.Authenticate(ctx, "ada", "wrong", client)
	require.ErrorIs(t, err, account.ErrUnavailable)
	for _, password := range []string{"wrong", goodPassword} {
		_, err = s.Authenticate(ctx, "ada", password, client)
		require.ErrorIs(t, err, account.ErrUnavailable, "right and wrong are the same now")
	}
	disk.full.Store(false)
	_, err = s.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
	for range 9 {
		_, err = s.Authenticate(ctx, "ada", "wrong", client)
		require.ErrorIs(t, err, account.ErrCredentials)
	}
	var throttled *account.ThrottledError
	_, err = s.Authenticate(ctx, "ada", goodPassword, client)
	require.ErrorAs(t, err, &throttled, "the guess on the full disk was counted, once")
}

func TestThrottleOfAddress(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	// One customer has a /64 of IPv6, and is one client.
	for i := range 30 {
		addr := netip.MustParseAddr("2001:db8:1:2::").As16()
		addr[15] = byte(i)
		_, err := h.Authenticate(ctx, "user"+string(rune('a'+i)), "wrong", netip.AddrFrom16(addr))
		require.ErrorIs(t, err, account.ErrCredentials)
	}
	var throttled *account.ThrottledError
	_, err = h.Authenticate(ctx, "ada", goodPassword, netip.MustParseAddr("2001:db8:1:2:ffff::1"))
	require.ErrorAs(t, err, &throttled)
	require.Equal(t, 15*time.Minute, throttled.RetryAfter)
	_, err = h.Authenticate(ctx, "ada", goodPassword, netip.MustParseAddr("2001:db8:1:3::1"))
	require.NoError(t, err, "others are not touched")
}

func TestThrottleOfMappedAddress(t *testing.T) {
	h := newHouse(t)
	for i := range 30 {
		_, err := h.Authenticate(t.Context(), "user"+string(rune('a'+i)), "wrong", client)
		require.ErrorIs(t, err, account.ErrCredentials)
	}
	var throttled *account.ThrottledError
	_, err := h.Authenticate(t.Context(), "ada", "wrong", netip.MustParseAddr("::ffff:192.0.2.1"))
	require.ErrorAs(t, err, &throttled, "the same address in another notation")
}

// TestThrottleOfBurst sends many guesses at once, to two processes that share
// the database: exactly ten are told that they were wrong.
func TestThrottleOfBurst(t *testing.T) {
	h := newHouse(t)
	_, err := h.Add(t.Context(), "ada", goodPassword, nil)
	require.NoError(t, err)
	houses := []*house{h, openHouse(t, h.database, h.stateDir)}
	var wrong, throttled atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, err := houses[i%2].Authenticate(t.Context(), "ada", "wrong", netip.Addr{})
			var late *account.ThrottledError
			switch {
			case errors.Is(err, account.ErrCredentials):
				wrong.Add(1)
			case errors.As(err, &late):
				throttled.Add(1)
			default:
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, int64(10), wrong.Load())
	require.Equal(t, int64(30), throttled.Load())
}

// TestLoginsAtOnce holds the throttle to failures: right passwords at the same
// time are never refused.
func TestLoginsAtOnce(t *testing.T) {
	h := newHouse(t)
	_, err := h.Add(t.Context(), "ada", goodPassword, nil)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			_, err := h.Authenticate(t.Context(), "ada", goodPassword, client)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
}

// TestTimingHidesUsers compares the shortest of some attempts, taken in turn on a
// machine that others use too: a name that is not there takes as long as a wrong
// password. Where nothing is hashed for it, it takes a hundredth.
func TestTimingHidesUsers(t *testing.T) {
	h := newHouse(t)
	h.Service = account.New(account.Config{Store: h.store, StateDir: h.stateDir, Now: h.clock})
	ctx := t.Context()
	const accounts, failures = 4, 9 // each; one more and an account is throttled
	for i := range accounts {
		_, err := h.Add(ctx, fmt.Sprintf("ada%d", i), goodPassword, nil)
		require.NoError(t, err)
	}
	measure := func(name string, best time.Duration) time.Duration {
		start := time.Now()
		_, err := h.Authenticate(ctx, name, "wrong", netip.Addr{})
		require.ErrorIs(t, err, account.ErrCredentials)
		return min(best, time.Since(start))
	}
	// On a busy machine it takes long until each was undisturbed once; what differs
	// in truth stays different.
	known, unknown := time.Hour, time.Hour
	isAlike := func() bool { return unknown < known*5/2 && known < unknown*5/2 }
	for i := 0; i < accounts*failures && (i < failures || !isAlike()); i++ {
		known = measure(fmt.Sprintf("ada%d", i%accounts), known)
		unknown = measure(fmt.Sprintf("nobody%d", i%accounts), unknown)
	}
	require.True(t, isAlike(), "known %s, unknown %s", known, unknown)
}

func TestAudit(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
	for range 10 {
		_, err = h.Authenticate(ctx, "ada", otherPassword, client)
		require.ErrorIs(t, err, account.ErrCredentials)
	}
	_, err = h.Authenticate(ctx, "ada", otherPassword, client)
	var throttled *account.ThrottledError
	require.ErrorAs(t, err, &throttled)
	_, err = h.Authenticate(ctx, otherPassword, goodPassword, client) // the password in the field of the name
	require.ErrorIs(t, err, account.ErrCredentials)
	require.NoError(t, h.SetPassword(ctx, "ada", otherPassword))
	require.NoError(t, h.SetDisabled(ctx, "ada", true))

	log := h.log.String()
	require.NotContains(t, log, goodPassword)
	require.NotContains(t, log, otherPassword)
	require.NotContains(t, log, "argon2id")
	require.Contains(t, log, `"user":"ada","address":"192.0.2.1","result":"success"`)
	require.Equal(t, 10, strings.Count(log, `"user":"ada","address":"192.0.2.1","result":"failure"`))
	require.Equal(t, 1, strings.Count(log, `"user":"ada","address":"192.0.2.1","result":"throttled"`))
	require.Equal(t, 1, strings.Count(log, `"user":"(unknown)","address":"192.0.2.1","result":"failure"`))
	require.Contains(t, log, `"password changed"`)
	require.Contains(t, log, `"disabled":true`)
}

func TestAddRefuses(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	tests := []struct {
		name, user, password string
		scopes               []string
		want                 error
	}{
		{"name", "a b", goodPassword, nil, credential.ErrUsername},
		{"short password", "ada", "short", nil, credential.ErrPassword},
		{"common password", "ada", "password1", nil, credential.ErrPassword},
		{"scope", "ada", goodPassword, []string{"predict", "root"}, account.ErrScope},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.Add(ctx, tt.user, tt.password, tt.scopes)
			require.ErrorIs(t, err, tt.want)
			require.NotContains(t, err.Error(), tt.password)
		})
	}
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	_, err = h.Add(ctx, "ada", otherPassword, nil)
	require.ErrorIs(t, err, account.ErrExists)
	users, err := h.List(ctx)
	require.NoError(t, err)
	require.Len(t, users, 1)
	require.Equal(t, account.DefaultScopes(), users[0].Scopes)

	require.ErrorIs(t, h.SetPassword(ctx, "nobody", otherPassword), account.ErrNotFound)
	require.ErrorIs(t, h.SetPassword(ctx, "ada", "short"), credential.ErrPassword)
	require.ErrorIs(t, h.SetDisabled(ctx, "nobody", true), account.ErrNotFound)
}

// TestRehash brings the hash of an earlier version with lower costs to those
// that OWASP names.
func TestRehash(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	h.Service = account.New(account.Config{Store: h.store, StateDir: h.stateDir, Now: h.clock})
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
	user, err := h.store.User(ctx, "ada")
	require.NoError(t, err)
	require.Contains(t, user.PasswordHash, "$m=19456,t=2,p=1$")
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
}

func TestDamagedHash(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	messages := golden.New(t)
	for i, hash := range []string{
		"", "x", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$", "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=0,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAA",
	} {
		_, err = h.store.UpdateUser(ctx, "ada", func(u *account.User) error { u.PasswordHash = hash; return nil })
		require.NoError(t, err)
		_, err = h.Authenticate(ctx, "ada", goodPassword, client)
		require.ErrorIs(t, err, account.ErrHash)
		require.ErrorContains(t, err, `user "ada"`)
		messages.Add(fmt.Sprintf("hash %d", i), err)
	}
}

func TestGrantScopes(t *testing.T) {
	has := []string{"predict", "model:read"}
	tests := []struct {
		name, requested string
		want            []string
		err             error
	}{
		{"none asked", "", has, nil},
		{"spaces", "  ", has, nil},
		{"one", "model:read", []string{"model:read"}, nil},
		{"both, in the order asked", "model:read predict", []string{"model:read", "predict"}, nil},
		{"twice", "predict predict", []string{"predict"}, nil},
		{"more than the user has", "admin predict", []string{"predict"}, nil},
		{"nothing left", "admin", nil, account.ErrScope},
		{"unknown", "predict root", nil, account.ErrScope},
		{"other case", "Predict", nil, account.ErrScope},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := account.GrantScopes(has, tt.requested)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, got)
		})
	}
	_, err := account.GrantScopes(nil, "")
	require.ErrorIs(t, err, account.ErrScope)
}

func TestBootstrapGenerates(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	generated, err := h.Bootstrap(ctx, "student", "")
	require.NoError(t, err)
	require.True(t, generated)
	password, err := h.InitialPassword(ctx, "student")
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(h.stateDir, account.InitialPasswordFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	user, err := h.Authenticate(ctx, "student", password, client)
	require.NoError(t, err)
	require.Equal(t, []string{"predict", "model:read"}, user.Scopes)
	require.NotContains(t, h.log.String(), password)

	generated, err = h.Bootstrap(ctx, "student", "another password 5")
	require.NoError(t, err)
	require.False(t, generated, "the password counts only when the user is created")
	_, err = h.Authenticate(ctx, "student", password, client)
	require.NoError(t, err)

	_, err = h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	require.NoError(t, h.SetPassword(ctx, "ada", otherPassword))
	_, err = h.InitialPassword(ctx, "student")
	require.NoError(t, err, "another user's password is another matter")
	_, err = h.InitialPassword(ctx, "ada")
	require.ErrorIs(t, err, account.ErrNoInitialPassword)

	require.NoError(t, h.SetPassword(ctx, "student", otherPassword))
	_, err = h.InitialPassword(ctx, "student")
	require.ErrorIs(t, err, account.ErrNoInitialPassword)
	require.NoFileExists(t, filepath.Join(h.stateDir, account.InitialPasswordFile))
}

func TestBootstrapTakesThePassword(t *testing.T) {
	h := newHouse(t)
	generated, err := h.Bootstrap(t.Context(), "ada", goodPassword)
	require.NoError(t, err)
	require.False(t, generated)
	_, err = h.Authenticate(t.Context(), "ada", goodPassword, client)
	require.NoError(t, err)
	_, err = h.InitialPassword(t.Context(), "ada")
	require.ErrorIs(t, err, account.ErrNoInitialPassword)
	require.NoFileExists(t, filepath.Join(h.stateDir, account.InitialPasswordFile))
}

// TestBootstrapAfterKill finds the file of a process that was killed before it
// had created the user.
func TestBootstrapAfterKill(t *testing.T) {
	h := newHouse(t)
	kept := credential.NewPassword()
	require.NoError(t, credential.CreateFile(filepath.Join(h.stateDir, account.InitialPasswordFile), kept))
	_, err := h.InitialPassword(t.Context(), "student")
	require.ErrorIs(t, err, account.ErrNoInitialPassword, "nobody's yet")
	generated, err := h.Bootstrap(t.Context(), "student", "")
	require.NoError(t, err)
	require.True(t, generated)
	_, err = h.Authenticate(t.Context(), "student", kept, client)
	require.NoError(t, err)
}

func TestBootstrapAtOnce(t *testing.T) {
	for _, shared := range []bool{true, false} {
		first := newHouse(t)
		houses := []*house{first}
		for range 3 {
			stateDir := first.stateDir
			if !shared {
				stateDir = t.TempDir()
			}
			houses = append(houses, openHouse(t, first.database, stateDir))
		}
		var made atomic.Int64
		var wg sync.WaitGroup
		for _, h := range houses {
			wg.Go(func() {
				generated, err := h.Bootstrap(t.Context(), "student", "")
				if assert.NoError(t, err) && generated {
					made.Add(1)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(1), made.Load())
		for _, h := range houses {
			password, err := h.InitialPassword(t.Context(), "student")
			if errors.Is(err, account.ErrNoInitialPassword) {
				require.False(t, shared)
				require.NoFileExists(t, filepath.Join(h.stateDir, account.InitialPasswordFile))
				continue
			}
			require.NoError(t, err)
			_, err = first.Authenticate(t.Context(), "student", password, client)
			require.NoError(t, err)
		}
	}
}

func TestBootstrapFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	h := openHouse(t, filepath.Join(t.TempDir(), "users.db"), missing)
	_, err := h.Bootstrap(t.Context(), "student", "")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, missing)
	message := regexp.MustCompile(regexp.QuoteMeta(missing)+`/\S+:`).ReplaceAllString(err.Error(), "FILE:")
	golden.New(t).Add("no folder for the password", errors.New(message))
	users, err := h.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, users, "no user without a password that somebody can read")
}

// TestClockThatWasAhead sets the clock right after it was a year ahead. Failures of then
// lock nobody out; a token that was revoked then stays revoked.
func TestClockThatWasAhead(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	ada, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	require.NoError(t, h.RevokeToken(ctx, "0.before", h.clock().Add(time.Hour)))
	const ahead = 366 * 24 * time.Hour
	h.wait(ahead)
	for range 10 {
		_, err := h.Authenticate(ctx, "ada", "wrong", client)
		require.ErrorIs(t, err, account.ErrCredentials)
	}
	require.NoError(t, h.RevokeToken(ctx, "0.during", h.clock().Add(time.Hour-ahead)))
	h.wait(-ahead)
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	require.NoError(t, err)
	guard, _ := h.guard(t, time.Hour, 0)
	for _, id := range []string{"0.before", "0.during"} {
		require.ErrorIs(t, guard.CheckToken(ctx, "ada", ada.Epoch, id), account.ErrRevoked, id)
	}

	// A little ahead, as clocks of replicas are, still counts.
	h.wait(30 * time.Second)
	for range 10 {
		_, _ = h.Authenticate(ctx, "ada", "wrong", client)
	}
	h.wait(-30 * time.Second)
	_, err = h.Authenticate(ctx, "ada", goodPassword, client)
	throttled := (*account.ThrottledError)(nil)
	require.ErrorAs(t, err, &throttled)
	require.LessOrEqual(t, throttled.RetryAfter, 15*time.Minute)
}

// TestGuessesFromElsewhereKeepNobodyOut uses up the attempts of an account from
// elsewhere: its owner still gets in from where the last success was, and there too
// only so many guesses are heard.
func TestGuessesFromElsewhereKeepNobodyOut(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	_, err := h.Add(ctx, "ada", goodPassword, nil)
	require.NoError(t, err)
	login := func(password, from string) error {
		_, err := h.Authenticate(ctx, "ada", password, netip.MustParseAddr(from))
		return err
	}
	const home, elsewhere = "192.0.2.10", "203.0.113.9"
	throttled := (*account.ThrottledError)(nil)
	require.NoError(t, login(goodPassword, home))
	for range 10 {
		require.ErrorIs(t, login("wrong", elsewhere), account.ErrCredentials)
	}
	require.ErrorAs(t, login(goodPassword, elsewhere), &throttled)
	require.ErrorAs(t, login(goodPassword, "198.51.100.7"), &throttled, "a place that is not known")
	require.NoError(t, login(goodPassword, home))
	for range 10 {
		require.ErrorIs(t, login("wrong", home), account.ErrCredentials)
	}
	require.ErrorAs(t, login(goodPassword, home), &throttled)
}
