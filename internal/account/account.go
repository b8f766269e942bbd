// Package account keeps users: their passwords, their scopes, and the throttle
// that makes guessing a password hopeless; the API keys of machines; and what
// has been revoked.
//
// A [Service] changes these, a [Guard] tells many times a second what still
// counts. Neither knows how a token looks, or HTTP. What is kept goes through a [Store], of
// which package sqlstore has two kinds, SQLite and PostgreSQL.
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Errors that callers tell apart with [errors.Is].
var (
	// ErrNotFound means that there is no such user.
	ErrNotFound = errors.New("no such user")
	// ErrExists means that the name is taken.
	ErrExists = errors.New("the user exists already")
	// ErrCredentials means that the user is unknown or disabled, or that the
	// password is wrong: nobody is told which.
	ErrCredentials = errors.New("wrong user name or password")
	// ErrScope means that an unknown scope was asked for, or that nothing is
	// left of what was.
	ErrScope = errors.New("invalid scope")
	// ErrRevoked means that what was issued to the user no longer counts.
	ErrRevoked = errors.New("revoked")
	// ErrBusy means that too many passwords wait to be hashed.
	ErrBusy = errors.New("too many logins at once")
	// ErrNoInitialPassword means that no generated password is in force.
	ErrNoInitialPassword = errors.New("no initial password is in force: set a new one with `api user passwd`")
)

// A ThrottledError refuses an attempt to log in after too many failures.
type ThrottledError struct {
	// RetryAfter is how long it takes until the next attempt is heard.
	RetryAfter time.Duration
}

// Error says how long to wait.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many failed logins; try again in %s", e.RetryAfter.Round(time.Second))
}

// The scopes there are.
const (
	ScopePredict   = "predict"
	ScopeModelRead = "model:read"
	ScopeAdmin     = "admin"
)

// Scopes lists all scopes.
func Scopes() []string { return []string{ScopePredict, ScopeModelRead, ScopeAdmin} }

// DefaultScopes are those of a user for whom none are named.
func DefaultScopes() []string { return []string{ScopePredict, ScopeModelRead} }

// GrantScopes returns what a token may do: of the scopes requested, a list
// separated by spaces, those that the user has, in the order asked for. No
// request means all of the user's. An unknown scope, or nothing left, is
// [ErrScope].
func GrantScopes(has []string, requested string) ([]string, error) {
	asked := strings.Fields(requested)
	if len(asked) == 0 {
		asked = has
	}
	var granted []string
	for _, scope := range asked {
		if !slices.Contains(Scopes(), scope) {
			return nil, fmt.Errorf("%w: one that is asked for is unknown; there are %s", ErrScope, strings.Join(Scopes(), ", "))
		}
		if slices.Contains(has, scope) && !slices.Contains(granted, scope) {
			granted = append(granted, scope)
		}
	}
	if len(granted) == 0 {
		return nil, fmt.Errorf("%w: the user has none of those asked for", ErrScope)
	}
	return granted, nil
}

// A User is somebody, or some program, that may log in.
type User struct {
	Name         string
	PasswordHash string // argon2id in PHC notation; never shown
	Scopes       []string
	Disabled     bool
	// Epoch counts what revokes everything issued before: a new password,
	// disabling, a logout everywhere. A token of an earlier epoch is void.
	Epoch   int64
	Created time.Time
	Updated time.Time // of the last change to anything above
}

// String names the user, without the hash.
func (u User) String() string { return u.Name }

// LogValue names the user, without the hash.
func (u User) LogValue() slog.Value { return slog.StringValue(u.Name) }

// A Store keeps users and failed logins. All methods are safe for concurrent
// use, by several processes too. Times are kept to the microsecond, in UTC.
type Store interface {
	// CreateUser adds a user; a name that is taken is [ErrExists].
	CreateUser(ctx context.Context, u User) error
	// User returns one user by the exact name, or [ErrNotFound].
	User(ctx context.Context, name string) (User, error)
	// Users lists all users, sorted by name.
	Users(ctx context.Context) ([]User, error)
	// UpdateUser reads a user, lets change alter all but the name, and writes
	// it back in the same transaction. Nothing is written when change fails;
	// its error is returned.
	UpdateUser(ctx context.Context, name string, change func(*User) error) (User, error)

	// FailureAt returns when the nth most recent failure of a subject between
	// the times given was, counted from 1; false when there are fewer.
	FailureAt(ctx context.Context, subject string, n int, after, until time.Time) (time.Time, bool, error)
	// AddFailure counts a failure at the time given against each limit's
	// subject, unless one of them has reached its limit: then nothing is
	// counted and added is false. Failures not between the times "after" and
	// "until" count no more and are forgotten: those of the past, and those of
	// a clock that was ahead.
	AddFailure(ctx context.Context, limits []Limit, at, after, until time.Time) (added bool, err error)

	// Generation is the Generation of Grants, which is cheaper to ask for.
	Generation(ctx context.Context) (int64, error)
	// Grants returns what counts and has changed after the generation "since",
	// [Everything] for all of it, with tokens that are revoked until after now.
	// It holds at least all changes up to its Generation.
	Grants(ctx context.Context, since int64, now time.Time) (Grants, error)
	// Census counts what counts; see [Grants.Census].
	Census(ctx context.Context, now time.Time) (Census, error)
	// RevokeToken keeps the ID of a token that expires at the time "until".
	// Those whose time was before "forget" are forgotten.
	RevokeToken(ctx context.Context, id string, until, forget time.Time) error
	// CreateKey adds an API key; an ID that is taken is [ErrExists].
	CreateKey(ctx context.Context, k Key) error
	// Keys lists all API keys, the oldest first.
	Keys(ctx context.Context) ([]Key, error)
	// RevokeKey revokes an API key at the time given, unless it is revoked
	// already, and returns it; [ErrNoKey] where there is none of the ID.
	RevokeKey(ctx context.Context, id string, at time.Time) (Key, error)
	// UseKey moves the last use of an API key forward, never back. It changes
	// no generation.
	UseKey(ctx context.Context, id string, at time.Time) error
}

// A Limit bounds the failures of one subject within the window.
type Limit struct {
	Subject string // opaque: an account or an address
	Max     int
}
