package token_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/token"
)

func TestCacheAnswersAsTheVerifier(t *testing.T) {
	c := &clock{now: epoch}
	_, issuer, verifier := parts(t, c)
	cache := token.NewCache(verifier, 8)
	raw, _, err := issuer.Issue(token.Grant{Subject: "student", Scopes: []string{"predict"}, Epoch: 7})
	require.NoError(t, err)
	want, err := verifier.Verify(raw)
	require.NoError(t, err)

	first, err := cache.Verify(raw)
	require.NoError(t, err)
	require.Equal(t, want, *first)
	second, err := cache.Verify(raw)
	require.NoError(t, err)
	require.Same(t, first, second, "the second time it is remembered")

	for name, bad := range map[string]string{
		"last sign altered": alterLast(raw), "cut": raw[:len(raw)-1], "longer": raw + "A", "empty": "", "line break": raw + "\n",
	} {
		for range 3 {
			_, err := cache.Verify(bad)
			require.ErrorIs(t, err, token.ErrInvalid, name)
		}
	}
}

func TestCacheRechecksExpiry(t *testing.T) {
	c := &clock{now: epoch}
	_, issuer, verifier := parts(t, c)
	cache := token.NewCache(verifier, 0)
	raw, _, err := issuer.Issue(token.Grant{Subject: "student"})
	require.NoError(t, err)
	_, err = cache.Verify(raw)
	require.NoError(t, err)
	c.now = epoch.Add(30*time.Minute - time.Nanosecond)
	_, err = cache.Verify(raw)
	require.NoError(t, err)
	c.now = epoch.Add(30 * time.Minute)
	_, err = cache.Verify(raw)
	require.ErrorIs(t, err, token.ErrExpired)
}

func TestCacheKeepsNoFailure(t *testing.T) {
	c := &clock{now: epoch}
	_, issuer, verifier := parts(t, c)
	cache := token.NewCache(verifier, 0)
	raw, _, err := issuer.Issue(token.Grant{Subject: "student"})
	require.NoError(t, err)
	c.now = epoch.Add(-time.Minute) // a clock that is wrong for a while
	_, err = cache.Verify(raw)
	require.ErrorIs(t, err, token.ErrInvalid)
	c.now = epoch
	_, err = cache.Verify(raw)
	require.NoError(t, err, "what was refused is looked at anew")
}

func TestCacheIsEmptiedByARotation(t *testing.T) {
	c := &clock{now: epoch}
	_, issuer, verifier := parts(t, c)
	cache := token.NewCache(verifier, 0)
	raw, _, err := issuer.Issue(token.Grant{Subject: "student"})
	require.NoError(t, err)
	before, err := cache.Verify(raw)
	require.NoError(t, err)

	rotated, err := token.NewKeyring([]byte(keyB), []byte(keyA))
	require.NoError(t, err)
	verifier.SetKeys(rotated)
	after, err := cache.Verify(raw)
	require.NoError(t, err)
	require.NotSame(t, before, after, "verified again, with the previous key")

	retired, err := token.NewKeyring([]byte(keyB))
	require.NoError(t, err)
	verifier.SetKeys(retired)
	_, err = cache.Verify(raw)
	require.ErrorIs(t, err, token.ErrInvalid, "the key is gone, and so is what it signed")
}

// TestCacheIsBounded fills a small cache with many tokens: it answers right for
// all, remembers some of them and no more than it has room for.
func TestCacheIsBounded(t *testing.T) {
	c := &clock{now: epoch}
	_, issuer, verifier := parts(t, c)
	const room = 16
	cache := token.NewCache(verifier, room)
	raws, kept := make([]string, 20*room), make([]*token.Claims, 20*room)
	for i := range raws {
		raw, _, err := issuer.Issue(token.Grant{Subject: "user" + strconv.Itoa(i)})
		require.NoError(t, err)
		raws[i] = raw
		kept[i], err = cache.Verify(raw)
		require.NoError(t, err)
	}
	remembered := 0
	for i := len(raws) - 1; i >= 0; i-- { // looking for one that is gone displaces another
		claims, err := cache.Verify(raws[i])
		require.NoError(t, err)
		require.Equal(t, "user"+strconv.Itoa(i), claims.Subject)
		if claims == kept[i] {
			remembered++
		}
	}
	require.Positive(t, remembered)
	require.LessOrEqual(t, remembered, room)
}

func TestCacheAllocatesNothingOnAHit(t *testing.T) {
	c := &clock{now: epoch}
	_, issuer, verifier := parts(t, c)
	cache := token.NewCache(verifier, 0)
	raw, _, err := issuer.Issue(token.Grant{Subject: "student"})
	require.NoError(t, err)
	_, err = cache.Verify(raw)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := cache.Verify(raw); err != nil {
			t.Error(err)
		}
	}))
}

// TestCacheAtOnce shows tokens to a cache too small for them while keys rotate:
// nobody is taken for somebody else. The race detector watches.
func TestCacheAtOnce(t *testing.T) {
	c := &clock{now: epoch}
	ring, issuer, verifier := parts(t, c)
	rotated, err := token.NewKeyring([]byte(keyB), []byte(keyA))
	require.NoError(t, err)
	retired, err := token.NewKeyring([]byte(keyB))
	require.NoError(t, err)
	cache := token.NewCache(verifier, 8)
	raws := make([]string, 24)
	for i := range raws {
		raws[i], _, err = issuer.Issue(token.Grant{Subject: "user" + strconv.Itoa(i)})
		require.NoError(t, err)
	}
	var readers, rotations sync.WaitGroup
	done := make(chan struct{})
	for worker := range 4 {
		readers.Go(func() {
			for i := range 2000 {
				n := (i*7 + worker) % len(raws)
				claims, err := cache.Verify(raws[n])
				if err == nil {
					assert.Equal(t, "user"+strconv.Itoa(n), claims.Subject)
				} else if !errors.Is(err, token.ErrInvalid) {
					assert.NoError(t, err)
				}
			}
		})
	}
	rotations.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				verifier.SetKeys([]*token.Keyring{ring, rotated, retired}[i%3])
			}
		}
	})
	readers.Wait()
	close(done)
	rotations.Wait()
	verifier.SetKeys(retired)
	for _, raw := range raws {
		_, err := cache.Verify(raw)
		require.ErrorIs(t, err, token.ErrInvalid, "nothing verified under the old ring is left")
	}
}

// BenchmarkCache shows one token again and again, on all processors.
func BenchmarkCache(b *testing.B) {
	ring, err := token.NewKeyring([]byte(keyA))
	require.NoError(b, err)
	issuer, err := token.NewIssuer(ring, token.DefaultConfig(time.Hour))
	require.NoError(b, err)
	verifier, err := token.NewVerifier(ring, token.DefaultConfig(time.Hour))
	require.NoError(b, err)
	raw, _, err := issuer.Issue(token.Grant{Subject: "student", Scopes: []string{"predict", "model:read"}})
	require.NoError(b, err)
	cache := token.NewCache(verifier, 0)
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cache.Verify(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("hits at once", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := cache.Verify(raw); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
