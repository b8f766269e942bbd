package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/petal-ml/petal/internal/credential"
)

// KeyFile is the name of the generated key in the state directory.
const KeyFile = "secret_key"

// A key signs and verifies with HMAC-SHA-256.
type key struct {
	id     string
	secret []byte
}

// A Keyring holds the key that signs and those that still verify. It is
// immutable; a rotation makes a new one.
type Keyring struct {
	current key
	byID    map[string]key
}

// NewKeyring makes a keyring from the current key and previous ones, their
// bytes as they stand. A key that [credential.CheckKey] refuses is an error,
// previous ones too: whoever guesses one of them can sign.
func NewKeyring(current []byte, previous ...[]byte) (*Keyring, error) {
	ring := &Keyring{byID: make(map[string]key, 1+len(previous))}
	var faults []error
	for i, secret := range append([][]byte{current}, previous...) {
		if err := credential.CheckKey(secret); err != nil {
			faults = append(faults, fmt.Errorf("%s key: %w", ordinal(i), err))
			continue
		}
		k := key{id: keyID(secret), secret: bytes.Clone(secret)}
		ring.byID[k.id] = k
		if i == 0 {
			ring.current = k
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return ring, nil
}

// OpenKeyring makes a keyring from the configured keys. An empty current key
// stands for the one kept in stateDir, which is made when there is none
// (created); processes that start at once end up with the same one. An empty
// previous key is none.
func OpenKeyring(stateDir, current, previous string) (ring *Keyring, created bool, err error) {
	origin := "SECRET_KEY"
	if current == "" {
		path := filepath.Join(stateDir, KeyFile)
		current, created, err = credential.LoadOrCreate(path, credential.NewKey)
		if err != nil {
			return nil, false, fmt.Errorf("signing key: %w", err)
		}
		origin = path
	}
	var old [][]byte
	if previous != "" {
		old = append(old, []byte(previous))
	}
	ring, err = NewKeyring([]byte(current), old...)
	if err != nil {
		return nil, false, fmt.Errorf("signing key of %s: %w", origin, err)
	}
	return ring, created, nil
}

// KeyID names the key that signs, as the "kid" of new tokens. It may be logged:
// it says nothing about the key.
func (r *Keyring) KeyID() string { return r.current.id }

// keyID derives a public name from a key. HMAC keeps it from telling anything
// about the key's bytes.
func keyID(secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("petal key id"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:9])
}

func ordinal(i int) string {
	if i == 0 {
		return "current"
	}
	return "previous"
}
