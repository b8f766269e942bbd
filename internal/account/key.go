package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/credential"
)

// KeyPrefix begins every API key: it tells one from a token, and lets scanners
// for leaked secrets find it.
const KeyPrefix = "petal_"

// MaxKeyLifetime bounds how long an API key can be good for.
const MaxKeyLifetime = 366 * 24 * time.Hour

const (
	// keyIDBytes make the visible part of a key, 16 hexadecimal digits.
	keyIDBytes = 8
	// keySecretBytes are too many to guess; the hash of a secret that nobody
	// chose needs neither salt nor costs.
	keySecretBytes = 32
)

// Errors of API keys.
var (
	// ErrKey means that this is no API key, or not one of ours, or that its
	// secret part is wrong.
	ErrKey = errors.New("invalid API key")
	// ErrKeyExpired means that the key was one of ours.
	ErrKeyExpired = errors.New("expired API key")
	// ErrNoKey means that there is no key of this ID.
	ErrNoKey = errors.New("no such API key")
	// ErrKeyLifetime means that a key was to live too long or not at all.
	ErrKeyLifetime = errors.New("a key's lifetime is more than 0 and at most 366 days")
)

// A Key is what is kept of an API key, by which a machine shows who it is. Its
// secret is known to its bearer alone.
type Key struct {
	ID     string            // visible: in lists, in logs, in the key itself
	Name   string            // what the operator calls its bearer
	Hash   [sha256.Size]byte // SHA-256 of the secret
	Scopes []string

	Created time.Time
	Expires time.Time
	Revoked time.Time // zero while it counts
	// LastUsed is the hour in which the key was last used, known a few seconds
	// later; zero means never.
	LastUsed time.Time

	subject string // made once: a key is used often
}

// Subject is what the key's bearer is called in logs: "key:" and the ID. No user
// has such a name.
func (k *Key) Subject() string {
	if k.subject == "" {
		return "key:" + k.ID
	}
	return k.subject
}

// AddKey makes an API key and returns the text that its bearer shows as a
// bearer token: it is known nowhere else and cannot be shown again. No scopes
// mean the default ones. The error is [credential.ErrUsername], [ErrScope] or
// [ErrKeyLifetime].
func (s *Service) AddKey(ctx context.Context, name string, scopes []string, lifetime time.Duration) (text string, k Key, err error) {
	if err := credential.CheckUsername(name); err != nil {
		return "", Key{}, fmt.Errorf("add API key: the name %w", err)
	}
	if lifetime <= 0 || lifetime > MaxKeyLifetime {
		return "", Key{}, fmt.Errorf("add API key %q: %w", name, ErrKeyLifetime)
	}
	if scopes, err = checkScopes(scopes); err != nil {
		return "", Key{}, fmt.Errorf("add API key %q: %w", name, err)
	}
	var random [keyIDBytes + keySecretBytes]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never returns an error
	secret := base64.RawURLEncoding.EncodeToString(random[keyIDBytes:])
	now := s.timestamp()
	k = Key{
		ID: fmt.Sprintf("%x", random[:keyIDBytes]), Name: name, Hash: hashSecret(secret), Scopes: scopes,
		Created: now, Expires: now.Add(lifetime),
	}
	if err := s.store.CreateKey(ctx, k); err != nil {
		return "", Key{}, fmt.Errorf("add API key %q: %w", name, err)
	}
	s.log.InfoContext(ctx, "API key added", "audit", true, "key", k.ID, "name", name, "scopes", scopes, "expires", k.Expires)
	return KeyPrefix + k.ID + "_" + secret, k, nil
}

// Keys returns all API keys, the oldest first, those that are revoked or
// expired too.
func (s *Service) Keys(ctx context.Context) ([]Key, error) {
	keys, err := s.store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return keys, nil
}

// RevokeKey ends an API key for good, by its ID or by its whole text. A key that
// is revoked already stays so. The error is [ErrNoKey].
func (s *Service) RevokeKey(ctx context.Context, id string) (Key, error) {
	if visible, _, ok := splitKey(id); ok {
		id = visible
	}
	k, err := s.store.RevokeKey(ctx, id, s.timestamp())
	if err != nil {
		return Key{}, fmt.Errorf("revoke API key: %w", err)
	}
	s.log.InfoContext(ctx, "API key revoked", "audit", true, "key", k.ID, "name", k.Name)
	return k, nil
}

// checkScopes refuses unknown scopes and drops repeated ones; none stand for the
// default ones.
func checkScopes(scopes []string) ([]string, error) {
	if len(scopes) == 0 {
		return DefaultScopes(), nil
	}
	var checked []string
	for _, scope := range scopes {
		if !slices.Contains(Scopes(), scope) {
			return nil, fmt.Errorf("%w: %q is none of %v", ErrScope, scope, Scopes())
		}
		if !slices.Contains(checked, scope) {
			checked = append(checked, scope)
		}
	}
	return checked, nil
}

// splitKey takes an API key apart into its visible and its secret part.
func splitKey(text string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(text, KeyPrefix)
	if !ok || len(rest) != 2*keyIDBytes+1+base64.RawURLEncoding.EncodedLen(keySecretBytes) || rest[2*keyIDBytes] != '_' {
		return "", "", false
	}
	return rest[:2*keyIDBytes], rest[2*keyIDBytes+1:], true
}

// hashSecret hashes the secret's text, so that one key has one spelling.
func hashSecret(secret string) [sha256.Size]byte {
	var text [64]byte // keeps the text off the heap; a secret has 43 signs
	return sha256.Sum256(append(text[:0], secret...))
}

func (k *Key) isSecret(secret string) bool {
	hash := hashSecret(secret)
	return subtle.ConstantTimeCompare(hash[:], k.Hash[:]) == 1
}
