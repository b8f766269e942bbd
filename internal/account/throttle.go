package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"
)

// The throttle: after so many failures within the window, attempts are refused
// unheard until the window has moved on. A refusal is no failure, so that
// nobody is locked out for longer than a window.
const (
	throttleWindow = 15 * time.Minute
	accountLimit   = 10
	addressLimit   = 30
	// clockSkew is how far the clocks of replicas may differ. A failure later than
	// that is of a clock that was ahead: it is not believed.
	clockSkew = time.Minute
)

// limitsOf names the subjects that a failure counts against. The account is
// kept as a hash: people type passwords into the field of the name, and the
// name may have any length.
func limitsOf(name string, addr netip.Addr) []Limit {
	sum := sha256.Sum256([]byte(name))
	limits := []Limit{{Subject: "account:" + hex.EncodeToString(sum[:16]), Max: accountLimit}}
	if addr.IsValid() {
		limits = append(limits, Limit{Subject: "address:" + networkOf(addr), Max: addressLimit})
	}
	return limits
}

// homes are the networks from which accounts last logged in, in this process.
type homes struct {
	mu   sync.Mutex
	last map[string]string // network by the account's subject
}

func (h *homes) set(account, network string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = map[string]string{}
	}
	h.last[account] = network
}

// limits is limitsOf with a count of its own for the network from which an account
// last logged in: who guesses from elsewhere does not lock out the owner. Each
// failure counts for the account and for the account at its network, whichever of
// the two is asked: replicas that know different networks count the same.
func (h *homes) limits(name string, addr netip.Addr) []Limit {
	limits := limitsOf(name, addr)
	if !addr.IsValid() {
		return limits
	}
	network := networkOf(addr)
	here := Limit{Subject: limits[0].Subject + "@" + network, Max: math.MaxInt32} // only counted
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last[limits[0].Subject] == network {
		here.Max, limits[0].Max = limits[0].Max, here.Max
	}
	return append(limits, here)
}

// networkOf is the address of IPv4, and the /64 of IPv6 that one customer has.
func networkOf(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

// A debt is a failure that could not be counted when it happened: the disk was
// full, the database away.
type debt struct {
	limits []Limit
	at     time.Time
}

type debts struct {
	mu  sync.Mutex
	all []debt
}

func (d *debts) add(one debt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, one)
}

// settle counts what is owed. While that fails nobody is heard: guesses that
// are not counted would be free. As many are owed at most as were being heard.
func (s *Service) settle(ctx context.Context) error {
	s.owed.mu.Lock()
	defer s.owed.mu.Unlock()
	for len(s.owed.all) > 0 {
		one := s.owed.all[0]
		if _, err := s.addFailure(ctx, one.limits, one.at); err != nil {
			return fmt.Errorf("count an earlier failed login: %w: %w", ErrUnavailable, err)
		}
		s.owed.all = s.owed.all[1:]
	}
	return nil
}

// throttled returns a [*ThrottledError] when one of the limits is reached.
func (s *Service) throttled(ctx context.Context, limits []Limit) error {
	now := s.timestamp()
	var wait time.Duration
	for _, l := range limits {
		at, reached, err := s.store.FailureAt(ctx, l.Subject, l.Max, now.Add(-throttleWindow), now.Add(clockSkew))
		if err != nil {
			return fmt.Errorf("throttle: %w: %w", ErrUnavailable, err)
		}
		if reached {
			// When this failure leaves the window there is room for one more.
			wait = max(wait, min(at.Add(throttleWindow).Sub(now), throttleWindow), time.Second)
		}
	}
	if wait > 0 {
		return &ThrottledError{RetryAfter: wait}
	}
	return nil
}

// countFailure counts a failure and returns what to answer: [ErrCredentials],
// or a [*ThrottledError] when attempts at the same time have reached a limit.
func (s *Service) countFailure(ctx context.Context, limits []Limit) error {
	// A client that hangs up does not take its failure back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	now := s.timestamp()
	added, err := s.addFailure(ctx, limits, now)
	if err != nil {
		s.owed.add(debt{limits, now})
		return fmt.Errorf("count failed login: %w: %w", ErrUnavailable, err)
	}
	if added {
		return ErrCredentials
	}
	if err := s.throttled(ctx, limits); err != nil {
		return err
	}
	return ErrCredentials // the window moved on in between
}

func (s *Service) addFailure(ctx context.Context, limits []Limit, at time.Time) (bool, error) {
	now := s.timestamp()
	return s.store.AddFailure(ctx, limits, at, now.Add(-throttleWindow), now.Add(clockSkew))
}
