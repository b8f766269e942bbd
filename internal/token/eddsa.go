package token

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/petal-ml/petal/internal/credential"
)

// EdDSAKeyFile is the name of the kept Ed25519 keys in the state directory: PEM,
// first the private key that signs (PKCS #8), then the public keys before it.
const EdDSAKeyFile = "signing_keys.pem"

const (
	privateBlock  = "PRIVATE KEY"
	publicBlock   = "PUBLIC KEY"
	retiredHeader = "Retired" // when a public key was replaced, RFC 3339
)

const (
	// keyPollInterval is how soon a running process sees that another has
	// rotated the kept keys.
	keyPollInterval = time.Second
	// rotationDelay is how long a new key only verifies: by then all that share
	// the state directory have seen it.
	rotationDelay = 5 * time.Second
)

// keptKeys are the contents of the key file.
type keptKeys struct {
	private ed25519.PrivateKey
	retired []retiredKey // the latest first
}

type retiredKey struct {
	public ed25519.PublicKey
	at     time.Time
}

// openEdDSA reads the kept keys, and makes the first one where there is none.
func openEdDSA(cfg KeyConfig) (ring *Keyring, created bool, err error) {
	path := filepath.Join(cfg.StateDir, EdDSAKeyFile)
	text, created, err := credential.LoadOrCreate(path, func() string { return keptKeys{private: newPrivateKey()}.encode() })
	if err != nil {
		return nil, false, fmt.Errorf("signing keys: %w", err)
	}
	kept, err := decodeKeptKeys(text)
	if err != nil {
		return nil, false, fmt.Errorf("signing keys of %s: %w", path, err)
	}
	keys := kept.keys(cfg.Now())
	if cfg.PreviousSecret != "" {
		previous, err := secretKey([]byte(cfg.PreviousSecret))
		if err != nil {
			return nil, false, fmt.Errorf("signing keys: previous key: %w", err)
		}
		previous.signing = nil
		keys = append(keys, previous)
	}
	return newRing(keys), created, nil
}

// RotateEdDSA replaces the kept Ed25519 key by a new one and returns the new
// one's ID. The public half of the old one stays for as long as a token that it
// has signed can live; its private half is gone. Running processes take the new
// key over by themselves, see [Watch].
func RotateEdDSA(stateDir string, now time.Time) (id string, err error) {
	path := filepath.Join(stateDir, EdDSAKeyFile)
	text, err := credential.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("rotate signing key: there is none in %s yet; it is made when the API first starts with TOKEN_SIGNING_ALG=%s", stateDir, EdDSA)
	}
	if err != nil {
		return "", fmt.Errorf("rotate signing key: %w", err)
	}
	old, err := decodeKeptKeys(text)
	if err != nil {
		return "", fmt.Errorf("rotate signing key of %s: %w", path, err)
	}
	next := keptKeys{private: newPrivateKey(), retired: []retiredKey{{publicOf(old.private), now.UTC().Truncate(time.Second)}}}
	for _, k := range old.retired {
		if k.counts(now) {
			next.retired = append(next.retired, k)
		}
	}
	if err := credential.ReplaceFile(path, next.encode()); err != nil {
		return "", fmt.Errorf("rotate signing key: %w", err)
	}
	return thumbprint(publicOf(next.private)), nil
}

// Watch takes over keys that another process has rotated, see [RotateEdDSA],
// until ctx ends: the verifier at once, the issuer a little later, so that no
// replica is shown a token of a key that it has not seen. A file that cannot be
// read is logged, and the keys at hand stay in force.
func Watch(ctx context.Context, cfg KeyConfig, log *slog.Logger, verifier *Verifier, issuer *Issuer) {
	if cfg.Algorithm != EdDSA {
		return // HS256 keys change with the settings, at a start
	}
	path := filepath.Join(cfg.StateDir, EdDSAKeyFile)
	seen, _ := os.Stat(path) // where this fails, the first look below reads the file
	tick := time.NewTicker(keyPollInterval)
	defer tick.Stop()
	var takeOver <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-takeOver:
			takeOver = nil
			issuer.SetKeys(verifier.Keys())
			log.InfoContext(ctx, "tokens are signed with a new key", "audit", true, "kid", verifier.Keys().KeyID())
		case <-tick.C:
			now, err := os.Stat(path)
			if err != nil || sameFile(seen, now) {
				continue // a file that is gone is put back by hand; until then the keys stand
			}
			ring, _, err := OpenKeyring(cfg)
			if err != nil {
				log.ErrorContext(ctx, "the rotated signing keys cannot be used; the ones before stay in force", "error", err)
			} else if ring.KeyID() != verifier.Keys().KeyID() {
				verifier.SetKeys(ring)
				takeOver = time.After(rotationDelay)
			}
			seen = now
		}
	}
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// counts tells whether a token that the key has signed can still be good.
func (k retiredKey) counts(now time.Time) bool {
	return now.Before(k.at.Add(MaxLifetime + rotationDelay + clockSkew))
}

// keys are those in force at a time, the one that signs first.
func (k keptKeys) keys(now time.Time) []key {
	public := publicOf(k.private)
	keys := []key{{id: thumbprint(public), method: jwt.SigningMethodEdDSA, signing: k.private, checks: public}}
	for _, old := range k.retired {
		if old.counts(now) {
			keys = append(keys, key{id: thumbprint(old.public), method: jwt.SigningMethodEdDSA, checks: old.public})
		}
	}
	return keys
}

func (k keptKeys) encode() string {
	var b bytes.Buffer
	write := func(block *pem.Block) {
		if err := pem.Encode(&b, block); err != nil { // a buffer takes everything
			panic("token: encode key: " + err.Error())
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		panic("token: encode key: " + err.Error()) // of this type it always succeeds
	}
	write(&pem.Block{Type: privateBlock, Bytes: der})
	for _, old := range k.retired {
		der, err := x509.MarshalPKIXPublicKey(old.public)
		if err != nil {
			panic("token: encode key: " + err.Error())
		}
		write(&pem.Block{Type: publicBlock, Headers: map[string]string{retiredHeader: old.at.Format(time.RFC3339)}, Bytes: der})
	}
	return b.String()
}

// errKeptKeys does not tell what stands in the file: that is a secret.
var errKeptKeys = errors.New("it is damaged; put its backup back, or remove it to have a new key made (every token then ends)")

func decodeKeptKeys(text string) (kept keptKeys, err error) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if err := kept.add(block); err != nil {
			return keptKeys{}, err
		}
	}
	if kept.private == nil || len(bytes.TrimSpace(rest)) > 0 {
		return keptKeys{}, errKeptKeys
	}
	return kept, nil
}

func (k *keptKeys) add(block *pem.Block) error {
	switch block.Type {
	case privateBlock:
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		private, ok := parsed.(ed25519.PrivateKey)
		if err != nil || !ok || k.private != nil {
			return errKeptKeys
		}
		k.private = private
	case publicBlock:
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		public, ok := parsed.(ed25519.PublicKey)
		at, timeErr := time.Parse(time.RFC3339, block.Headers[retiredHeader])
		if err != nil || timeErr != nil || !ok {
			return errKeptKeys
		}
		k.retired = append(k.retired, retiredKey{public, at})
	default:
		return errKeptKeys
	}
	return nil
}

func newPrivateKey() ed25519.PrivateKey {
	var seed [ed25519.SeedSize]byte
	_, _ = rand.Read(seed[:]) // crypto/rand.Read never returns an error
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(private ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(private[ed25519.SeedSize:])
}

// thumbprint is the key's ID: RFC 7638 with the members of RFC 8037, section 2.
func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
