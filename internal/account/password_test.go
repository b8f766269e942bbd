package account_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
)

// costly is the house's service with hashes as costly as they are.
func (h *house) costly(concurrent, waiting int) *account.Service {
	return account.New(account.Config{
		Store: h.store, StateDir: h.stateDir, Log: slog.New(slog.DiscardHandler), Now: h.clock,
		ConcurrentHashes: concurrent, WaitingHashes: waiting,
	})
}

// TestLoginsAreBounded sends more logins at once than may wait: the rest are
// turned away at once, and their failures do not count.
func TestLoginsAreBounded(t *testing.T) {
	h := newHouse(t)
	s := h.costly(1, 2)
	var busy, heard atomic.Int64
	var clients sync.WaitGroup
	start := make(chan struct{})
	for i := range 12 {
		clients.Go(func() {
			<-start
			_, err := s.Authenticate(t.Context(), "nobody", "wrong", netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
			switch throttled := (*account.ThrottledError)(nil); {
			case errors.Is(err, account.ErrBusy):
				busy.Add(1)
			case errors.Is(err, account.ErrCredentials), errors.As(err, &throttled):
				heard.Add(1)
			default:
				assert.NoError(t, err)
			}
		})
	}
	close(start)
	clients.Wait()
	require.Positive(t, busy.Load())
	require.GreaterOrEqual(t, heard.Load(), int64(1))
	require.Equal(t, int64(12), busy.Load()+heard.Load())
	_, err := s.Authenticate(t.Context(), "nobody", "wrong", client)
	require.NotErrorIs(t, err, account.ErrBusy, "the queue is free again")
}

// TestLoginsAreFair lets a crowd log in while the only slot is taken, with the right
// password of one user from everywhere, or with anybody's name from one address.
// Another user from another address finds a place in the queue each time.
func TestLoginsAreFair(t *testing.T) {
	const crowdSize, places = 8, 4
	for name, crowd := range map[string]func(i int) (string, netip.Addr){
		"one account": func(i int) (string, netip.Addr) { return "ada", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}) },
		"one address": func(i int) (string, netip.Addr) {
			return fmt.Sprintf("nobody-%d", i), netip.MustParseAddr("203.0.113.9")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				for _, user := range []string{"ada", "bob"} {
					_, err := h.Add(t.Context(), user, goodPassword, nil)
					require.NoError(t, err)
				}
				s := h.costly(1, places)
				account.HashCheaply(s)
				for range 3 {
					release := account.HoldHash(s)
					var refused atomic.Int64
					var clients sync.WaitGroup
					for i := range crowdSize {
						clients.Go(func() {
							user, addr := crowd(i)
							if _, err := s.Authenticate(t.Context(), user, goodPassword, addr); errors.Is(err, account.ErrBusy) {
								refused.Add(1)
							}
						})
					}
					synctest.Wait() // each of them waits or was refused
					require.Equal(t, int64(crowdSize-places+1), refused.Load())
					bob := make(chan error, 1)
					go func() {
						_, err := s.Authenticate(t.Context(), "bob", goodPassword, client)
						bob <- err
					}()
					synctest.Wait()
					release()
					require.NoError(t, <-bob)
					clients.Wait()
				}
			})
		})
	}
}

func TestWaitingLoginsGiveUp(t *testing.T) {
	h := newHouse(t)
	s := h.costly(1, 10)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { _, _ = s.Authenticate(ctx, "nobody", "wrong", netip.Addr{}) })
	}
	clients.Wait()
	_, err := s.Authenticate(ctx, "nobody", "wrong", netip.Addr{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.Authenticate(t.Context(), "nobody", "wrong", netip.Addr{})
	require.ErrorIs(t, err, account.ErrCredentials)
}

// TestMemoryIsGivenBack logs in several times: the 19 MiB of each hash are the
// system's again soon after.
func TestMemoryIsGivenBack(t *testing.T) {
	const mebibyte = 1 << 20
	held := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapSys - m.HeapReleased
	}
	h := newHouse(t)
	s := h.costly(2, 0)
	_, err := s.Add(t.Context(), "ada", goodPassword, nil)
	require.NoError(t, err)
	time.Sleep(time.Second) // what Add has taken is given back
	debug.FreeOSMemory()
	before := held()
	var (
		clients sync.WaitGroup
		done    = make(chan struct{})
		highest = make(chan uint64)
	)
	go func() { // a hash holds its memory while it is made, and no longer
		for most := uint64(0); ; most = max(most, held()) {
			select {
			case <-done:
				highest <- most
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	for range 2 {
		clients.Go(func() {
			for range 3 {
				if _, err := s.Authenticate(t.Context(), "ada", goodPassword, client); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	close(done)
	require.Greater(t, <-highest, before+15*mebibyte, "a hash takes memory")
	require.Eventually(t, func() bool { return held() < before+8*mebibyte }, 10*time.Second, 20*time.Millisecond)
}
