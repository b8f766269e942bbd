// Package access decides who bears a bearer token, whatever kind it is: an
// access token of a user, or the API key of a machine.
//
// It joins packages token and account, which do not know each other: a token
// says who it was issued to, an account whether that still counts.
package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/token"
)

// Errors of [Gate.Authenticate]. The first two are refusals; their text is for
// the log and never holds the token.
var (
	// ErrInvalid refuses what is not genuine, or has been revoked.
	ErrInvalid = errors.New("invalid bearer token")
	// ErrExpired refuses what was genuine: its bearer may be told to log in
	// again.
	ErrExpired = errors.New("expired bearer token")
	// ErrUnavailable means that nothing can be said just now.
	ErrUnavailable = errors.New("bearer tokens cannot be checked")
)

// A Principal is who makes a request, and what for.
type Principal struct {
	// Name is for logs: a user's name, or "key:" and the ID of an API key.
	// No user's name holds a colon.
	Name    string
	Scopes  []string // shared: not to be changed
	Expires time.Time
	// TokenID names a user's token ("jti"); empty for an API key.
	TokenID string
}

// HasScope tells whether the principal was granted the scope.
func (p *Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// A Gate authenticates bearers. It is safe for concurrent use.
type Gate struct {
	tokens *token.Cache
	guard  *account.Guard
}

// NewGate makes a gate for tokens that the verifier accepts and the guard does
// not speak against, and for API keys that the guard knows.
func NewGate(verifier *token.Verifier, guard *account.Guard) *Gate {
	return &Gate{tokens: token.NewCache(verifier, 0), guard: guard}
}

// Authenticate returns who bears the token, the text behind "Bearer " of an
// Authorization header. That it has not expired and has not been revoked is
// looked at each time. A token that was seen before costs no allocation.
func (g *Gate) Authenticate(ctx context.Context, bearer string) (Principal, error) {
	if strings.HasPrefix(bearer, account.KeyPrefix) {
		return g.key(ctx, bearer)
	}
	claims, err := g.tokens.Verify(bearer)
	if err != nil {
		return Principal{}, classify(err)
	}
	if err := g.guard.CheckToken(ctx, claims.Subject, claims.Epoch, claims.ID); err != nil {
		return Principal{Name: claims.Subject}, classify(err)
	}
	return Principal{Name: claims.Subject, Scopes: claims.Scopes, Expires: claims.Expires, TokenID: claims.ID}, nil
}

func (g *Gate) key(ctx context.Context, bearer string) (Principal, error) {
	k, err := g.guard.CheckKey(ctx, bearer)
	if err != nil {
		return Principal{}, classify(err)
	}
	return Principal{Name: k.Subject(), Scopes: k.Scopes, Expires: k.Expires}, nil
}

// classify sorts the reasons of both packages into what the caller answers.
func classify(err error) error {
	switch {
	case errors.Is(err, token.ErrExpired), errors.Is(err, account.ErrKeyExpired):
		return fmt.Errorf("%w: %w", ErrExpired, err)
	case errors.Is(err, token.ErrInvalid), errors.Is(err, account.ErrRevoked), errors.Is(err, account.ErrKey):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}
