package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/petal-ml/petal/internal/credential"
)

// KeyFile is the name of the generated HS256 key in the state directory.
const KeyFile = "secret_key"

// The algorithms that sign. With [HS256] whoever can verify can sign; with
// [EdDSA] (Ed25519, RFC 8037) others can verify with the public keys of
// [Keyring.JWKS] alone.
const (
	HS256 = "HS256"
	EdDSA = "EdDSA"
)

// A key signs and verifies with one algorithm. A token that names the key but
// another algorithm is refused.
type key struct {
	id      string
	method  jwt.SigningMethod
	signing any // nil where the key only verifies
	checks  any
}

// A Keyring holds the key that signs and those that still verify. It is
// immutable; a rotation makes a new one.
type Keyring struct {
	current key
	byID    map[string]key
	jwks    []byte
}

// A KeyConfig says which keys sign and verify.
type KeyConfig struct {
	// StateDir holds the keys that are made here.
	StateDir string
	// Algorithm is HS256 or EdDSA; empty means HS256.
	Algorithm string
	// Secret is the HS256 key, its bytes as they stand. Empty stands for the one
	// kept in StateDir, which is made when there is none. EdDSA does not use it.
	Secret string
	// PreviousSecret still verifies HS256 tokens, whatever the algorithm; empty
	// is none.
	PreviousSecret string
	Now            func() time.Time // nil means time.Now
}

// OpenKeyring makes the keyring that the configuration describes. created tells
// that the signing key was made by this call; processes that start at once with
// one state directory end up with the same key.
func OpenKeyring(cfg KeyConfig) (ring *Keyring, created bool, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch cfg.Algorithm {
	case HS256, "":
		return openSecret(cfg)
	case EdDSA:
		return openEdDSA(cfg)
	default:
		return nil, false, fmt.Errorf("signing key: unknown algorithm %q; there are %s and %s", cfg.Algorithm, HS256, EdDSA)
	}
}

func openSecret(cfg KeyConfig) (ring *Keyring, created bool, err error) {
	secret, origin := cfg.Secret, "SECRET_KEY"
	remedy := "write 32 random bytes or more"
	if secret == "" {
		path := filepath.Join(cfg.StateDir, KeyFile)
		secret, created, err = credential.LoadOrCreate(path, credential.NewKey)
		if err != nil {
			return nil, false, fmt.Errorf("signing key: %w", err)
		}
		origin, remedy = path, "put its backup back, or remove it to have a new key made (every token then ends)"
	}
	var old [][]byte
	if cfg.PreviousSecret != "" {
		old = append(old, []byte(cfg.PreviousSecret))
	}
	ring, err = NewKeyring([]byte(secret), old...)
	if err != nil {
		return nil, false, fmt.Errorf("signing key of %s: %w; %s", origin, err, remedy)
	}
	return ring, created, nil
}

// NewKeyring makes a keyring of HS256 keys from the current one and previous
// ones, their bytes as they stand. A key that [credential.CheckKey] refuses is
// an error, previous ones too: whoever guesses one of them can sign.
func NewKeyring(current []byte, previous ...[]byte) (*Keyring, error) {
	var (
		keys   []key
		faults []error
	)
	for i, secret := range append([][]byte{current}, previous...) {
		k, err := secretKey(secret)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s key: %w", ordinal(i), err))
			continue
		}
		keys = append(keys, k)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return newRing(keys), nil
}

// newRing makes a ring of which the first key signs.
func newRing(keys []key) *Keyring {
	ring := &Keyring{current: keys[0], byID: make(map[string]key, len(keys))}
	for _, k := range keys {
		if _, twice := ring.byID[k.id]; !twice {
			ring.byID[k.id] = k
		}
	}
	ring.jwks = encodeJWKS(keys)
	return ring
}

func secretKey(secret []byte) (key, error) {
	if err := credential.CheckKey(secret); err != nil {
		return key{}, err
	}
	secret = bytes.Clone(secret)
	return key{id: secretKeyID(secret), method: jwt.SigningMethodHS256, signing: secret, checks: secret}, nil
}

// KeyID names the key that signs, as the "kid" of new tokens. It may be logged:
// it says nothing about the key.
func (r *Keyring) KeyID() string { return r.current.id }

// Algorithm is that of new tokens.
func (r *Keyring) Algorithm() string { return r.current.method.Alg() }

// JWKS is the JSON Web Key Set (RFC 7517) of the public keys, the current one
// first. It is empty where tokens are signed with HS256: that key is a secret.
// The caller does not change it.
func (r *Keyring) JWKS() []byte { return r.jwks }

// jwk is one public key as RFC 8037, section 2, has it.
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	X         string `json:"x"`
}

func encodeJWKS(keys []key) []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		if public, ok := k.checks.(ed25519.PublicKey); ok {
			set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", "sig", EdDSA, k.id, base64.RawURLEncoding.EncodeToString(public)})
		}
	}
	document, err := json.Marshal(set)
	if err != nil { // strings always encode
		panic("token: encode key set: " + err.Error())
	}
	return document
}

// secretKeyID derives a public name from a key. HMAC keeps it from telling
// anything about the key's bytes.
func secretKeyID(secret []byte) string {
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
