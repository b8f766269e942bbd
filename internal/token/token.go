// Package token issues and verifies Petal's access tokens: JSON Web Tokens
// signed with HS256 or EdDSA, in the profile of RFC 9068 and held to the best
// current practice of RFC 8725.
//
// It knows neither users nor HTTP. Whoever asks for a token has been
// authenticated elsewhere; what a token may do stands in its scopes.
package token

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Errors of [Verifier.Verify]. Both mean that the token is not accepted; an
// expired one was genuine, so that a client may be told to log in again.
var (
	ErrInvalid = errors.New("invalid token")
	ErrExpired = errors.New("expired token")
)

const (
	// tokenType is the "typ" of access tokens (RFC 9068, section 2.1): a token
	// signed with the same key for another purpose is none.
	tokenType = "at+jwt"
	// MaxLifetime bounds exp−iat, in issuing and in verifying.
	MaxLifetime = 24 * time.Hour
	// maxBytes bounds a token before any work is done on it; Petal's own have
	// about 400 bytes.
	maxBytes = 4096
	// clockSkew is how far the clock of the replica that issued a token may run
	// ahead. It never prolongs a token.
	clockSkew = 5 * time.Second
)

// Config says whose tokens these are. Issuer and verifier share it.
type Config struct {
	Issuer   string           // claim "iss"
	Audience string           // claim "aud"
	Lifetime time.Duration    // of new tokens, at most MaxLifetime
	Now      func() time.Time // nil means time.Now
}

// DefaultConfig has the issuer and audience that Petal's API uses, with tokens
// that live for the duration given.
func DefaultConfig(lifetime time.Duration) Config {
	return Config{Issuer: "petal", Audience: "petal-api", Lifetime: lifetime}
}

func (c *Config) complete() error {
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Issuer == "" || c.Audience == "":
		return errors.New("tokens need an issuer and an audience")
	case c.Lifetime < time.Second || c.Lifetime > MaxLifetime:
		return fmt.Errorf("a token's lifetime of %s is not between 1s and %s", c.Lifetime, MaxLifetime)
	}
	return nil
}

// Claims are what a verified token says.
type Claims struct {
	Subject string   // the user
	ID      string   // claim "jti", unique for each token
	Scopes  []string // in the order granted
	// Epoch is the user's token epoch at the time of issue: a token of an
	// earlier epoch than the user's has been revoked.
	Epoch    int64
	IssuedAt time.Time
	Expires  time.Time
}

// HasScope tells whether the token was granted the scope.
func (c *Claims) HasScope(scope string) bool { return slices.Contains(c.Scopes, scope) }

// A Grant asks for a token.
type Grant struct {
	Subject string
	Scopes  []string
	Epoch   int64
}

// An Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	keys atomic.Pointer[Keyring]
	cfg  Config
}

// NewIssuer makes an issuer that signs with the ring's current key.
func NewIssuer(keys *Keyring, cfg Config) (*Issuer, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("new token issuer: %w", err)
	}
	i := &Issuer{cfg: cfg}
	i.keys.Store(keys)
	return i, nil
}

// SetKeys makes the issuer sign with another ring's current key.
func (i *Issuer) SetKeys(keys *Keyring) { i.keys.Store(keys) }

// Lifetime is how long new tokens are good for: "expires_in".
func (i *Issuer) Lifetime() time.Duration { return i.cfg.Lifetime }

// Issue signs a token and returns it with what it says.
func (i *Issuer) Issue(g Grant) (string, Claims, error) {
	if g.Subject == "" {
		return "", Claims{}, errors.New("issue token: no subject")
	}
	now := i.cfg.Now().Truncate(time.Second)
	claims := Claims{
		Subject: g.Subject, ID: newID(g.Epoch), Scopes: slices.Clone(g.Scopes), Epoch: g.Epoch,
		IssuedAt: now, Expires: now.Add(i.cfg.Lifetime),
	}
	current := i.keys.Load().current
	t := jwt.NewWithClaims(current.method, jwt.MapClaims{
		"iss": i.cfg.Issuer, "aud": i.cfg.Audience, "sub": claims.Subject, "jti": claims.ID,
		"iat": claims.IssuedAt.Unix(), "exp": claims.Expires.Unix(), "scope": strings.Join(claims.Scopes, " "),
	})
	t.Header["typ"] = tokenType
	t.Header["kid"] = current.id
	signed, err := t.SignedString(current.signing)
	if err != nil {
		return "", Claims{}, fmt.Errorf("issue token: %w", err)
	}
	return signed, claims, nil
}

// newID makes a "jti": the epoch, then 128 random bits. To clients it is opaque;
// carrying the epoch in it keeps the set of claims as the contract has it.
func newID(epoch int64) string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never returns an error
	return strconv.FormatInt(epoch, 36) + "." + base64.RawURLEncoding.EncodeToString(random[:])
}

// IsID tells whether a text could be the "jti" of a token.
func IsID(id string) bool {
	_, ok := epochOf(id)
	return ok
}

func epochOf(id string) (int64, bool) {
	text, random, ok := strings.Cut(id, ".")
	if !ok || random == "" {
		return 0, false
	}
	epoch, err := strconv.ParseInt(text, 36, 64)
	return epoch, err == nil && epoch >= 0
}
