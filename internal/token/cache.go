package token

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// Dimensions of a [Cache].
const (
	// cacheWays is how many tokens that fall on one place are kept.
	cacheWays = 4
	// DefaultCacheTokens is how many tokens a cache keeps: about a kilobyte each.
	DefaultCacheTokens = 4096
)

// A Cache remembers tokens that a [Verifier] has accepted, so that a client that
// shows one a thousand times pays for its signature once. It keeps a bounded
// number of them, takes no lock, and allocates nothing on a hit. It is safe for
// concurrent use.
//
// What can change after the signature was checked is looked at on every hit:
// the expiry, and that the keyring is the one that the token was verified with,
// so that a rotation empties the cache at once. Refused tokens are never kept.
// Whether a token has been revoked is not the cache's affair; whoever asks here
// asks that too, each time.
type Cache struct {
	verifier *Verifier
	seed     maphash.Seed
	// slots are sets of cacheWays neighbours; a token's hash chooses the set.
	// An entry is never changed once it is in, only replaced.
	slots []atomic.Pointer[cached]
	sets  uint64 // a power of two
}

type cached struct {
	hash   uint64
	raw    string
	keys   *Keyring
	claims Claims
}

// NewCache makes a cache of about so many tokens, rounded up to a power of two;
// 0 means [DefaultCacheTokens].
func NewCache(verifier *Verifier, tokens int) *Cache {
	if tokens < 1 {
		tokens = DefaultCacheTokens
	}
	sets := 1
	for sets*cacheWays < tokens {
		sets *= 2
	}
	return &Cache{
		verifier: verifier, seed: maphash.MakeSeed(),
		slots: make([]atomic.Pointer[cached], sets*cacheWays), sets: uint64(sets),
	}
}

// Verify is [Verifier.Verify], faster for a token that was accepted before. The
// claims are shared: the caller does not change them.
func (c *Cache) Verify(raw string) (*Claims, error) {
	keys := c.verifier.Keys()
	// The hash is keyed by a secret: where it differs, no byte of a kept token
	// is compared, so that the time taken tells nothing about them.
	hash := maphash.String(c.seed, raw)
	set := c.set(hash)
	for i := range set {
		if e := set[i].Load(); e != nil && e.hash == hash && e.keys == keys && e.raw == raw {
			if !c.verifier.cfg.Now().Before(e.claims.Expires) {
				return nil, ErrExpired
			}
			return &e.claims, nil
		}
	}
	claims, err := c.verifier.verify(raw, keys)
	if err != nil {
		return nil, err
	}
	// The token is part of a larger text, all of a request's headers.
	e := &cached{hash: hash, raw: strings.Clone(raw), keys: keys, claims: claims}
	victim(set, e).Store(e)
	return &e.claims, nil
}

func (c *Cache) set(hash uint64) []atomic.Pointer[cached] {
	first := (hash & (c.sets - 1)) * cacheWays
	return c.slots[first : first+cacheWays]
}

// victim is the slot that a new entry takes: a free one, one of a keyring that
// is gone, or that of the token which expires first.
func victim(set []atomic.Pointer[cached], e *cached) *atomic.Pointer[cached] {
	var (
		first  *atomic.Pointer[cached]
		oldest *cached
	)
	for i := range set {
		old := set[i].Load()
		if old == nil || old.keys != e.keys || old.hash == e.hash {
			return &set[i]
		}
		if oldest == nil || old.claims.Expires.Before(oldest.claims.Expires) {
			first, oldest = &set[i], old
		}
	}
	return first
}
