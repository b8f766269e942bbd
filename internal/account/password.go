package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// argonParams are the costs of argon2id.
type argonParams struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
}

// defaultParams are OWASP's recommendation: 19 MiB, two passes, one lane.
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
var defaultParams = argonParams{memory: 19 * 1024, time: 2, threads: 1}

const (
	saltBytes = 16
	hashBytes = 32
)

// A hasher makes and checks password hashes, a few at a time: each takes 19 MiB
// and some 30 ms of a core.
type hasher struct {
	params  argonParams
	slots   chan struct{} // holds one for each that is being made
	waiting chan struct{} // and one for each that waits for a slot
	dummy   string        // the hash that unknown users are checked against
	freeing atomic.Bool   // memory is about to be given back

	mu     sync.Mutex
	queued map[string]int // how many wait, by account and by address
}

func newHasher(concurrent, waiting int) *hasher {
	h := &hasher{params: defaultParams, slots: make(chan struct{}, concurrent), waiting: make(chan struct{}, waiting), queued: map[string]int{}}
	// The hash of nothing that can be typed: all zero. Its cost is that of any.
	h.dummy = encodePHC(h.params, make([]byte, saltBytes), make([]byte, hashBytes))
	return h
}

// queueShare divides the queue: its last part, one in so many, is for accounts and
// addresses that have fewer places in it than that. A crowd that logs in as one user
// leaves room for the others.
const queueShare = 4

// acquire takes a slot and tells whether it had to wait for one, on behalf of the
// account and the address that the limits name. The error is [ErrBusy] where too many
// wait already, or that of ctx.
func (h *hasher) acquire(ctx context.Context, limits ...Limit) (waited bool, err error) {
	select {
	case h.slots <- struct{}{}:
		return false, nil
	default:
	}
	if !h.enter(limits) {
		return false, ErrBusy
	}
	defer h.leave(limits)
	select {
	case h.slots <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// enter takes a place in the queue, unless there is none for this account and address.
func (h *hasher) enter(limits []Limit) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	share := max(1, cap(h.waiting)/queueShare)
	for _, l := range limits {
		if h.queued[l.Subject] >= share && len(h.waiting) >= cap(h.waiting)-share {
			return false
		}
	}
	select {
	case h.waiting <- struct{}{}:
	default:
		return false
	}
	for _, l := range limits {
		h.queued[l.Subject]++
	}
	return true
}

func (h *hasher) leave(limits []Limit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	<-h.waiting
	for _, l := range limits {
		if h.queued[l.Subject]--; h.queued[l.Subject] == 0 {
			delete(h.queued, l.Subject)
		}
	}
}

// freeDelay is how soon after a hash its memory is given back; under a stream of
// logins this is also how often.
const freeDelay = 200 * time.Millisecond

// release gives a slot back. The 19 MiB of a hash are garbage now, and Go would
// keep them for minutes: they go back to the system, once for all hashes of a
// moment.
func (h *hasher) release() {
	<-h.slots
	if h.freeing.CompareAndSwap(false, true) {
		time.AfterFunc(freeDelay, func() {
			h.freeing.Store(false)
			debug.FreeOSMemory()
		})
	}
}

// hash returns the password's hash in PHC notation with a new salt.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if _, err := h.acquire(ctx); err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	defer h.release()
	var salt [saltBytes]byte
	_, _ = rand.Read(salt[:]) // crypto/rand.Read never returns an error
	return encodePHC(h.params, salt[:], derive(h.params, password, salt[:], hashBytes)), nil
}

// verify checks a password in constant time. The caller holds a slot.
func (h *hasher) verify(phc, password string) (bool, error) {
	params, salt, want, err := decodePHC(phc)
	if err != nil {
		return false, err
	}
	got := derive(params, password, salt, len(want))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// outdated tells whether a hash has other costs than new ones.
func (h *hasher) outdated(phc string) bool {
	params, _, _, err := decodePHC(phc)
	return err != nil || params != h.params
}

// derive normalises the password first, so that "é" typed on one machine is
// "é" typed on another (NIST SP 800-63B-4, section 3.1.1.2).
func derive(p argonParams, password string, salt []byte, size int) []byte {
	text := norm.NFKC.String(password)
	return argon2.IDKey([]byte(text), salt, p.time, p.memory, p.threads, uint32(size)) //nolint:gosec // G115: at most 64, see decodePHC
}

// encodePHC writes a hash in the PHC string format,
// https://github.com/P-H-C/phc-string-format.
func encodePHC(p argonParams, salt, hash []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.time, p.threads, b64.EncodeToString(salt), b64.EncodeToString(hash))
}

// errHash means that a stored hash is not one that this program writes.
var errHash = errors.New("the stored password hash is damaged; set a new password with `api user passwd`")

// Bounds on the costs of a stored hash: whoever can write one must not be able
// to stop the process with it.
const (
	maxMemory = 1 << 20 // KiB
	maxTime   = 16
)

func decodePHC(phc string) (p argonParams, salt, hash []byte, err error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, nil, nil, errHash
	}
	salt, saltErr := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	hash, hashErr := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	switch {
	case saltErr != nil, hashErr != nil, len(salt) < 8, len(hash) < 16, len(hash) > 64,
		p.memory > maxMemory, p.time < 1, p.time > maxTime, p.threads < 1:
		return p, nil, nil, errHash
	}
	return p, salt, hash, nil
}
