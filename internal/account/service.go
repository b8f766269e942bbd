package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/petal-ml/petal/internal/credential"
)

// Config is what a [Service] needs.
type Config struct {
	Store    Store
	StateDir string           // holds the generated password of the first user
	Log      *slog.Logger     // audit: who logged in, who was refused, what was changed; nil means none
	Now      func() time.Time // nil means time.Now
	// ConcurrentHashes bounds the memory that logins take, 19 MiB each;
	// 0 means 2.
	ConcurrentHashes int
	// WaitingHashes bounds the logins that wait for their turn, of some 15 ms
	// each; more are [ErrBusy]. 0 means 64.
	WaitingHashes int
}

// A Service is what the API and the command line do with users. It is safe for
// concurrent use.
type Service struct {
	store    Store
	stateDir string
	log      *slog.Logger
	now      func() time.Time
	hasher   *hasher
	owed     debts
	homes    homes
}

// New makes a service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ConcurrentHashes < 1 {
		cfg.ConcurrentHashes = 2
	}
	if cfg.WaitingHashes < 1 {
		cfg.WaitingHashes = 64
	}
	return &Service{
		store: cfg.Store, stateDir: cfg.StateDir, log: cfg.Log, now: cfg.Now,
		hasher: newHasher(cfg.ConcurrentHashes, cfg.WaitingHashes),
	}
}

// Authenticate returns the user whose name and password these are. addr is the
// client's address; the zero value is not counted. The error is
// [ErrCredentials], the same in the same time whether the user is unknown,
// disabled or mistaken, a [*ThrottledError] after too many failures, [ErrBusy],
// which costs nothing, while too many others wait, or [ErrUnavailable] while the
// database cannot be read or a failure could not be counted in it.
func (s *Service) Authenticate(ctx context.Context, name, password string, addr netip.Addr) (User, error) {
	limits := s.homes.limits(name, addr)
	if err := s.settle(ctx); err != nil {
		return User{}, err
	}
	if err := s.throttled(ctx, limits); err != nil {
		return User{}, s.refused(ctx, name, addr, err)
	}
	waited, err := s.hasher.acquire(ctx, limitsOf(name, addr)...)
	if err != nil {
		return User{}, fmt.Errorf("authenticate: %w", err)
	}
	if waited {
		// Others have failed while this one waited: without a second look a
		// burst of guesses would all be heard.
		if err := s.throttled(ctx, limits); err != nil {
			s.hasher.release()
			return User{}, s.refused(ctx, name, addr, err)
		}
	}
	user, ok, err := s.check(ctx, name, password)
	s.hasher.release()
	if err != nil {
		return User{}, fmt.Errorf("authenticate: %w", err)
	}
	if !ok {
		return User{}, s.refused(ctx, user.Name, addr, s.countFailure(ctx, limits))
	}
	if s.hasher.outdated(user.PasswordHash) {
		s.rehash(ctx, name, user.PasswordHash, password)
	}
	if addr.IsValid() {
		s.homes.set(limitsOf(name, addr)[0].Subject, networkOf(addr))
	}
	s.log.InfoContext(ctx, "login", "audit", true, "user", name, "address", addr, "result", "success")
	return user, nil
}

// check verifies the password of a user that may log in; for one that may not
// it does the same work in vain. The user is returned where there is one.
func (s *Service) check(ctx context.Context, name, password string) (User, bool, error) {
	user, err := s.store.User(ctx, name)
	known := !errors.Is(err, ErrNotFound)
	if err != nil && known {
		return User{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	hash := s.hasher.dummy
	if known {
		hash = user.PasswordHash
	}
	ok, err := s.hasher.verify(hash, password)
	if err != nil {
		return User{}, false, fmt.Errorf("user %q: %w", name, err)
	}
	return user, ok && known && !user.Disabled, nil
}

// refused writes the audit line of a refusal. A name that is no user's is not
// logged: people type their password there.
func (s *Service) refused(ctx context.Context, known string, addr netip.Addr, err error) error {
	result := "failure"
	if throttle := (*ThrottledError)(nil); errors.As(err, &throttle) {
		result = "throttled"
		if _, lookup := s.store.User(ctx, known); lookup != nil {
			known = ""
		}
	} else if !errors.Is(err, ErrCredentials) {
		return fmt.Errorf("authenticate: %w", err)
	}
	if known == "" {
		known = "(unknown)"
	}
	s.log.WarnContext(ctx, "login", "audit", true, "user", known, "address", addr, "result", result)
	return err
}

// rehash brings the stored hash to today's costs, now that the password is
// known. A failure is no reason to refuse the login.
func (s *Service) rehash(ctx context.Context, name, old, password string) {
	hash, err := s.hasher.hash(ctx, password)
	if err == nil {
		_, err = s.store.UpdateUser(ctx, name, func(u *User) error {
			if u.PasswordHash == old {
				u.PasswordHash = hash
			}
			return nil
		})
	}
	if err != nil {
		s.log.WarnContext(ctx, "password hash not renewed", "user", name, "error", err)
	}
}

// Add creates a user. No scopes mean the default ones. The error is
// [ErrExists], [ErrScope], [credential.ErrUsername] or [credential.ErrPassword].
func (s *Service) Add(ctx context.Context, name, password string, scopes []string) (User, error) {
	if err := credential.CheckUsername(name); err != nil {
		return User{}, fmt.Errorf("add user: the name %w", err)
	}
	if err := credential.CheckPassword(password, name); err != nil {
		return User{}, fmt.Errorf("add user %q: the password %w", name, err)
	}
	scopes, err := checkScopes(scopes)
	if err != nil {
		return User{}, fmt.Errorf("add user %q: %w", name, err)
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return User{}, fmt.Errorf("add user %q: %w", name, err)
	}
	now := s.timestamp()
	user := User{Name: name, PasswordHash: hash, Scopes: scopes, Created: now, Updated: now}
	if err := s.store.CreateUser(ctx, user); err != nil {
		return User{}, fmt.Errorf("add user %q: %w", name, err)
	}
	s.log.InfoContext(ctx, "user added", "audit", true, "user", name, "scopes", scopes)
	return user, nil
}

// SetPassword gives a user another password, which revokes what was issued
// under the old one and ends the initial password.
func (s *Service) SetPassword(ctx context.Context, name, password string) error {
	if err := credential.CheckPassword(password, name); err != nil {
		return fmt.Errorf("set password of %q: the password %w", name, err)
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return fmt.Errorf("set password of %q: %w", name, err)
	}
	_, initialErr := s.InitialPassword(ctx, name)
	_, err = s.store.UpdateUser(ctx, name, func(u *User) error {
		u.PasswordHash, u.Epoch, u.Updated = hash, u.Epoch+1, s.timestamp()
		return nil
	})
	if err != nil {
		return fmt.Errorf("set password of %q: %w", name, err)
	}
	s.log.InfoContext(ctx, "password changed", "audit", true, "user", name)
	if initialErr == nil {
		return s.removeInitialPassword()
	}
	return nil
}

// SetDisabled bars a user from logging in and revokes what was issued, or lets
// the user in again.
func (s *Service) SetDisabled(ctx context.Context, name string, disabled bool) error {
	_, err := s.store.UpdateUser(ctx, name, func(u *User) error {
		if u.Disabled != disabled {
			u.Disabled, u.Epoch, u.Updated = disabled, u.Epoch+1, s.timestamp()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("disable user %q: %w", name, err)
	}
	s.log.InfoContext(ctx, "user disabled or enabled", "audit", true, "user", name, "disabled", disabled)
	return nil
}

// Revoke ends all tokens that were issued to a user, who can log in again.
func (s *Service) Revoke(ctx context.Context, name string) error {
	_, err := s.store.UpdateUser(ctx, name, func(u *User) error {
		u.Epoch, u.Updated = u.Epoch+1, s.timestamp()
		return nil
	})
	if err != nil {
		return fmt.Errorf("revoke the tokens of user %q: %w", name, err)
	}
	s.log.InfoContext(ctx, "tokens of a user revoked", "audit", true, "user", name)
	return nil
}

// revocationsKept is how long the ID of a revoked token outlives the token. A token
// that seems to have expired may come back to life: the clock was ahead and is set
// right.
const revocationsKept = 5 * 366 * 24 * time.Hour

// RevokeToken ends one token, by its ID; expires is when it would end by itself.
func (s *Service) RevokeToken(ctx context.Context, id string, expires time.Time) error {
	if err := s.store.RevokeToken(ctx, id, expires, s.timestamp().Add(-revocationsKept)); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	s.log.InfoContext(ctx, "token revoked", "audit", true, "jti", id)
	return nil
}

// List returns all users, sorted by name.
func (s *Service) List(ctx context.Context) ([]User, error) {
	users, err := s.store.Users(ctx)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return users, nil
}

func (s *Service) timestamp() time.Time { return s.now().UTC().Truncate(time.Microsecond) }
