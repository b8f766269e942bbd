// Package accounttest holds every [account.Store] to the words of the interface.
package accounttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
)

// now is a time with more digits than a store keeps.
var now = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)

// Run holds a store to its interface. open returns a new, empty store for each
// test; replica opens the same database once more, as another process would.
func Run(t *testing.T, open func(t *testing.T) (store account.Store, replica func() account.Store)) {
	t.Helper()
	tests := []struct {
		name string
		test func(*testing.T, account.Store, func() account.Store)
	}{
		{"users", testUsers},
		{"unknown users", testUnknown},
		{"update fails", testUpdateFails},
		{"updates at once", testUpdatesAtOnce},
		{"creation at once", testCreationAtOnce},
		{"failures", testFailures},
		{"failures from the future", testFailuresFromTheFuture},
		{"failures at once", testFailuresAtOnce},
		{"failures of many limits", testManyLimits},
		{"cancelled", testCancelled},
		{"generations", testGenerations},
		{"changes", testChanges},
		{"revoked tokens", testRevokedTokens},
		{"API keys", testKeys},
		{"changes at once", testChangesAtOnce},
		{"two replicas", testReplicas},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store, replica := open(t)
			tt.test(t, store, replica)
		})
	}
}

func user(name string) account.User {
	at := now.Truncate(time.Microsecond)
	return account.User{Name: name, PasswordHash: "$argon2id$" + name, Scopes: []string{"predict", "model:read"}, Created: at, Updated: at}
}

func testUsers(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	users, err := store.Users(ctx)
	require.NoError(t, err)
	require.Empty(t, users)

	for _, name := range []string{"student", "Student", "ada", "_x", "zoë'; DROP TABLE users; --"} {
		require.NoError(t, store.CreateUser(ctx, user(name)))
	}
	require.ErrorIs(t, store.CreateUser(ctx, user("ada")), account.ErrExists)

	got, err := store.User(ctx, "Student")
	require.NoError(t, err)
	require.Equal(t, user("Student"), got, "names differ by case")

	other := replica()
	users, err = other.Users(ctx)
	require.NoError(t, err)
	var names []string
	for _, u := range users {
		names = append(names, u.Name)
	}
	require.Equal(t, []string{"Student", "_x", "ada", "student", "zoë'; DROP TABLE users; --"}, names, "sorted by bytes")

	updated, err := other.UpdateUser(ctx, "ada", func(u *account.User) error {
		u.Name, u.PasswordHash, u.Scopes, u.Disabled, u.Epoch = "ignored", "new", []string{"admin"}, true, u.Epoch+1
		u.Updated = u.Updated.Add(time.Second)
		return nil
	})
	require.NoError(t, err)
	want := user("ada")
	want.PasswordHash, want.Scopes, want.Disabled, want.Epoch, want.Updated = "new", []string{"admin"}, true, 1, want.Updated.Add(time.Second)
	require.Equal(t, want, updated)
	got, err = store.User(ctx, "ada")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func testUnknown(t *testing.T, store account.Store, _ func() account.Store) {
	for _, name := range []string{"nobody", "", "a\x00b", "\xff\xfe", "\xed\xa0\x80"} {
		_, err := store.User(t.Context(), name)
		require.ErrorIs(t, err, account.ErrNotFound, "%q", name)
	}
	_, err := store.UpdateUser(t.Context(), "nobody", func(*account.User) error {
		t.Error("called for a user that is not there")
		return nil
	})
	require.ErrorIs(t, err, account.ErrNotFound)
}

func testUpdateFails(t *testing.T, store account.Store, _ func() account.Store) {
	require.NoError(t, store.CreateUser(t.Context(), user("ada")))
	failure := errors.New("changed my mind")
	_, err := store.UpdateUser(t.Context(), "ada", func(u *account.User) error {
		u.Epoch = 99
		return failure
	})
	require.ErrorIs(t, err, failure)
	got, err := store.User(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, user("ada"), got)
}

// testUpdatesAtOnce loses an increment where reading and writing are not one
// transaction.
func testUpdatesAtOnce(t *testing.T, store account.Store, replica func() account.Store) {
	require.NoError(t, store.CreateUser(t.Context(), user("ada")))
	stores := []account.Store{store, replica()}
	const workers, rounds = 8, 10
	atOnce(t, workers, func(ctx context.Context, i int) error {
		for range rounds {
			_, err := stores[i%2].UpdateUser(ctx, "ada", func(u *account.User) error {
				u.Epoch++
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	got, err := store.User(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, int64(workers*rounds), got.Epoch)
}

func testCreationAtOnce(t *testing.T, store account.Store, replica func() account.Store) {
	stores := []account.Store{store, replica()}
	var created atomic.Int64
	atOnce(t, 8, func(ctx context.Context, i int) error {
		err := stores[i%2].CreateUser(ctx, user("ada"))
		if errors.Is(err, account.ErrExists) {
			return nil
		}
		created.Add(1)
		return err
	})
	require.Equal(t, int64(1), created.Load())
}

// ahead is later than any failure of these tests.
var ahead = now.Add(24 * time.Hour)

// testFailuresFromTheFuture has a clock that was ahead for a while: what was counted
// then is not believed once the clock is right, and does not stay.
func testFailuresFromTheFuture(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	after, until := now.Add(-15*time.Minute), now.Add(time.Minute)
	limits := []account.Limit{{Subject: "account:a", Max: 2}}
	for range 2 {
		added, err := store.AddFailure(ctx, limits, now.AddDate(1, 0, 0), now.AddDate(1, 0, -1), now.AddDate(1, 0, 1))
		require.NoError(t, err)
		require.True(t, added)
	}
	_, found, err := replica().FailureAt(ctx, "account:a", 1, after, until)
	require.NoError(t, err)
	require.False(t, found)
	for range 2 {
		added, err := store.AddFailure(ctx, limits, now, after, until)
		require.NoError(t, err)
		require.True(t, added)
	}
	_, found, err = store.FailureAt(ctx, "account:a", 3, time.UnixMicro(0), now.AddDate(2, 0, 0))
	require.NoError(t, err)
	require.False(t, found, "those of the future are forgotten")
}

func testFailures(t *testing.T, store account.Store, replica func() account.Store) {
	ctx := t.Context()
	start := now.Truncate(time.Microsecond)
	limits := []account.Limit{{Subject: "account:a", Max: 3}}
	for i := range 3 {
		at := start.Add(time.Duration(i) * time.Minute)
		added, err := store.AddFailure(ctx, limits, at, start.Add(-time.Hour), ahead)
		require.NoError(t, err)
		require.True(t, added)
	}
	other := replica()
	for n, want := range []time.Duration{1: 2 * time.Minute, 2: time.Minute, 3: 0} {
		if n == 0 {
			continue
		}
		at, found, err := other.FailureAt(ctx, "account:a", n, start.Add(-time.Second), ahead)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, start.Add(want), at)
	}
	_, found, err := other.FailureAt(ctx, "account:a", 4, start.Add(-time.Second), ahead)
	require.NoError(t, err)
	require.False(t, found)
	_, found, err = other.FailureAt(ctx, "account:a", 3, start, ahead)
	require.NoError(t, err)
	require.False(t, found, "the first failure is not after the time given")
	_, found, err = other.FailureAt(ctx, "account:b", 1, start.Add(-time.Hour), ahead)
	require.NoError(t, err)
	require.False(t, found)

	added, err := other.AddFailure(ctx, limits, start.Add(3*time.Minute), start.Add(-time.Hour), ahead)
	require.NoError(t, err)
	require.False(t, added, "the limit is reached")
	added, err = other.AddFailure(ctx, limits, start.Add(3*time.Minute), start, ahead)
	require.NoError(t, err)
	require.True(t, added, "the first failure counts no more")
	_, found, err = store.FailureAt(ctx, "account:a", 4, time.UnixMicro(0), ahead)
	require.NoError(t, err)
	require.False(t, found, "what counts no more is forgotten")
}

// testFailuresAtOnce counts beyond the limit where counting and adding are not
// one transaction.
func testFailuresAtOnce(t *testing.T, store account.Store, replica func() account.Store) {
	stores := []account.Store{store, replica()}
	limits := []account.Limit{{Subject: "account:a", Max: 10}, {Subject: "address:192.0.2.1", Max: 30}}
	var added atomic.Int64
	atOnce(t, 24, func(ctx context.Context, i int) error {
		ok, err := stores[i%2].AddFailure(ctx, limits, now.Add(time.Duration(i)), now.Add(-time.Hour), ahead)
		if ok {
			added.Add(1)
		}
		return err
	})
	require.Equal(t, int64(10), added.Load())
	_, found, err := store.FailureAt(t.Context(), "address:192.0.2.1", 10, now.Add(-time.Hour), ahead)
	require.NoError(t, err)
	require.True(t, found)
	_, found, err = store.FailureAt(t.Context(), "address:192.0.2.1", 11, now.Add(-time.Hour), ahead)
	require.NoError(t, err)
	require.False(t, found, "a failure that is not counted counts for no subject")
}

// testManyLimits deadlocks where two transactions lock subjects in the order
// they come in.
func testManyLimits(t *testing.T, store account.Store, replica func() account.Store) {
	stores := []account.Store{store, replica()}
	atOnce(t, 8, func(ctx context.Context, i int) error {
		a, b := account.Limit{Subject: "a", Max: 1000}, account.Limit{Subject: "b", Max: 1000}
		limits := []account.Limit{a, b}
		if i%2 == 0 {
			limits = []account.Limit{b, a}
		}
		for range 5 {
			if _, err := stores[i/4].AddFailure(ctx, limits, now, now.Add(-time.Hour), ahead); err != nil {
				return err
			}
		}
		return nil
	})
	for _, subject := range []string{"a", "b"} {
		_, found, err := store.FailureAt(t.Context(), subject, 40, now.Add(-time.Hour), ahead)
		require.NoError(t, err)
		require.True(t, found)
	}
}

func testCancelled(t *testing.T, store account.Store, _ func() account.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.User(ctx, "ada")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, store.CreateUser(ctx, user("ada")), context.Canceled)
	require.NoError(t, store.CreateUser(t.Context(), user("ada")), "the store is whole after that")
}

// atOnce runs f in n goroutines and requires that none fails.
func atOnce(t *testing.T, n int, f func(ctx context.Context, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			if err := f(ctx, i); err != nil {
				assert.NoError(t, fmt.Errorf("goroutine %d: %w", i, err))
			}
		})
	}
	close(start)
	wg.Wait()
}
