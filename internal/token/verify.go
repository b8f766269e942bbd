package token

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A Verifier accepts tokens of its keyring, issuer and audience. It is safe for
// concurrent use and remembers nothing: a [Cache] stands in front of it.
type Verifier struct {
	keys   atomic.Pointer[Keyring]
	cfg    Config
	parser *jwt.Parser
}

// NewVerifier makes a verifier of tokens signed with any key of the ring.
func NewVerifier(keys *Keyring, cfg Config) (*Verifier, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("new token verifier: %w", err)
	}
	v := &Verifier{cfg: cfg, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{HS256, EdDSA}), // and of these the key's own, see keyFor
		jwt.WithStrictDecoding(),                     // or the last sign of the signature can be altered
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(clockSkew), // for iat and nbf; checkTimes holds exp without it
		jwt.WithTimeFunc(cfg.Now),
	)}
	v.keys.Store(keys)
	return v, nil
}

// Keys is the keyring in force.
func (v *Verifier) Keys() *Keyring { return v.keys.Load() }

// SetKeys puts another keyring in force. Tokens of keys that are not on it are
// refused from then on, remembered or not.
func (v *Verifier) SetKeys(keys *Keyring) { v.keys.Store(keys) }

// wireClaims are the claims as they travel.
type wireClaims struct {
	jwt.RegisteredClaims
	Scope string `json:"scope"`
}

// Verify checks a raw token and returns what it says. The error is [ErrInvalid]
// or [ErrExpired], with a reason for the log; it never holds the token.
func (v *Verifier) Verify(raw string) (Claims, error) { return v.verify(raw, v.Keys()) }

func (v *Verifier) verify(raw string, keys *Keyring) (Claims, error) {
	if len(raw) > maxBytes {
		return Claims{}, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxBytes)
	}
	if !isCompact(raw) {
		return Claims{}, fmt.Errorf("%w: not three parts of base64url", ErrInvalid)
	}
	var wire wireClaims
	if _, err := v.parser.ParseWithClaims(raw, &wire, keys.keyFor); err != nil {
		return Claims{}, classify(err)
	}
	if err := v.checkTimes(&wire); err != nil {
		return Claims{}, err
	}
	epoch, ok := epochOf(wire.ID)
	switch {
	case wire.Subject == "":
		return Claims{}, fmt.Errorf("%w: no sub", ErrInvalid)
	case !ok:
		return Claims{}, fmt.Errorf("%w: no jti of ours", ErrInvalid)
	}
	return Claims{
		Subject: wire.Subject, ID: wire.ID, Scopes: strings.Fields(wire.Scope), Epoch: epoch,
		IssuedAt: wire.IssuedAt.UTC(), Expires: wire.ExpiresAt.UTC(),
	}, nil
}

// isCompact tells whether the token holds nothing but base64url and dots. Go's
// decoder skips line breaks even when it is strict, which would give one token
// many spellings.
func isCompact(raw string) bool {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// A headerError says why a header was refused.
type headerError string

func (e headerError) Error() string { return string(e) }

// keyFor chooses the key by the header. Nothing but alg, typ and kid may stand
// there: keys come from the configuration alone, never from jwk, jku, x5c or
// x5u, and an extension that crit marks as critical is not understood. The
// algorithm is the key's: a public key is no HMAC secret.
func (r *Keyring) keyFor(t *jwt.Token) (any, error) {
	for name := range t.Header {
		if name != "alg" && name != "typ" && name != "kid" {
			return nil, headerError("unexpected header parameter")
		}
	}
	if t.Header["typ"] != tokenType {
		return nil, headerError("typ is not " + tokenType)
	}
	id, _ := t.Header["kid"].(string)
	k, ok := r.byID[id]
	if !ok {
		return nil, headerError("unknown kid")
	}
	if t.Method.Alg() != k.method.Alg() {
		return nil, headerError("alg is not that of the key")
	}
	return k.checks, nil
}

// checkTimes holds what golang-jwt leaves open: that iat is there, that no
// token outlives the cap, and that exp has no leeway.
func (v *Verifier) checkTimes(wire *wireClaims) error {
	if wire.IssuedAt == nil {
		return fmt.Errorf("%w: no iat", ErrInvalid)
	}
	lifetime := wire.ExpiresAt.Sub(wire.IssuedAt.Time)
	if lifetime <= 0 || lifetime > MaxLifetime {
		return fmt.Errorf("%w: lives for %s, not up to %s", ErrInvalid, lifetime.Round(time.Second), MaxLifetime)
	}
	if !v.cfg.Now().Before(wire.ExpiresAt.Time) {
		return ErrExpired
	}
	return nil
}

// classify keeps golang-jwt's reasons and tells the expired from the rest.
func classify(err error) error {
	if errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenInvalidIssuer) &&
		!errors.Is(err, jwt.ErrTokenInvalidAudience) {
		return ErrExpired
	}
	if refused := headerError(""); errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", ErrInvalid, refused)
	}
	for _, known := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience,
		jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenUnverifiable,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", ErrInvalid, known)
		}
	}
	return ErrInvalid
}
