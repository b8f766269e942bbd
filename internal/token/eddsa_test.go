package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/token"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func openEdDSA(t *testing.T, dir string, at time.Time) *token.Keyring {
	t.Helper()
	ring, _, err := token.OpenKeyring(token.KeyConfig{StateDir: dir, Algorithm: token.EdDSA, Now: func() time.Time { return at }})
	require.NoError(t, err)
	return ring
}

func issuerVerifier(t *testing.T, ring *token.Keyring, c *clock) (*token.Issuer, *token.Verifier) {
	t.Helper()
	issuer, err := token.NewIssuer(ring, config(c))
	require.NoError(t, err)
	verifier, err := token.NewVerifier(ring, config(c))
	require.NoError(t, err)
	return issuer, verifier
}

// publicKeys reads a key set as another program would.
func publicKeys(t *testing.T, ring *token.Keyring) (ids []string, byID map[string]ed25519.PublicKey) {
	t.Helper()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(ring.JWKS(), &set))
	require.NotNil(t, set.Keys)
	byID = map[string]ed25519.PublicKey{}
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k["x"])
		require.NoError(t, err)
		require.Len(t, x, ed25519.PublicKeySize)
		id := k["kid"]
		require.Equal(t, map[string]string{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": k["x"]}, k,
			"the public half and nothing else")
		ids, byID[id] = append(ids, id), x
	}
	return ids, byID
}

func TestEdDSA(t *testing.T) {
	c := &clock{now: epoch}
	dir := t.TempDir()
	ring := openEdDSA(t, dir, epoch)
	issuer, verifier := issuerVerifier(t, ring, c)
	raw, issued, err := issuer.Issue(token.Grant{Subject: "student", Scopes: []string{"predict"}, Epoch: 3})
	require.NoError(t, err)
	got, err := verifier.Verify(raw)
	require.NoError(t, err)
	require.Equal(t, issued.ID, got.ID)
	header, _ := decode(t, raw)
	require.Equal(t, map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": ring.KeyID()}, header)

	ids, keys := publicKeys(t, ring)
	require.Equal(t, []string{ring.KeyID()}, ids)
	_, err = jwt.Parse(raw, func(*jwt.Token) (any, error) { return keys[ring.KeyID()], nil },
		jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithTimeFunc(c.Now))
	require.NoError(t, err, "the key set alone is enough to verify")

	require.Equal(t, ring.KeyID(), openEdDSA(t, dir, epoch).KeyID(), "the key is kept")
	info, err := os.Stat(filepath.Join(dir, token.EdDSAKeyFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NotEqual(t, raw, alterLast(raw))
	_, err = verifier.Verify(alterLast(raw))
	require.ErrorIs(t, err, token.ErrInvalid)
}

// TestKeyIDIsTheThumbprint holds kid to the example of RFC 8037, appendix A.3.
func TestKeyIDIsTheThumbprint(t *testing.T) {
	const file = "-----BEGIN PRIVATE KEY-----\n" +
		"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n" +
		"-----END PRIVATE KEY-----"
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, token.EdDSAKeyFile), []byte(file), 0o600))
	require.Equal(t, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", openEdDSA(t, dir, epoch).KeyID())
}

// TestAlgorithmsAreNotMixed signs with what everybody can read, and with keys of
// the other kind.
func TestAlgorithmsAreNotMixed(t *testing.T) {
	c := &clock{now: epoch}
	ring, _, err := token.OpenKeyring(token.KeyConfig{
		StateDir: t.TempDir(), Algorithm: token.EdDSA, Secret: keyB, PreviousSecret: keyA, Now: c.Now,
	})
	require.NoError(t, err)
	secret, err := token.NewKeyring([]byte(keyA))
	require.NoError(t, err)
	unused, err := token.NewKeyring([]byte(keyB))
	require.NoError(t, err)
	_, verifier := issuerVerifier(t, ring, c)
	_, keys := publicKeys(t, ring)
	public := string(keys[ring.KeyID()])
	attacker := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	eddsa := func(input string) string {
		return base64.RawURLEncoding.EncodeToString(ed25519.Sign(attacker, []byte(input)))
	}
	messages := golden.New(t)
	tests := []struct {
		name, alg, kid string
		sign           func(string) string
		accepted       bool
	}{
		{"HS256 of the previous secret", "HS256", secret.KeyID(), hs256(keyA), true},
		{"HS256 of the public key", "HS256", ring.KeyID(), hs256(public), false},
		{"HS256 of the public key's text", "HS256", ring.KeyID(), hs256(base64.RawURLEncoding.EncodeToString([]byte(public))), false},
		{"HS256 of the secret under the public key's kid", "HS256", ring.KeyID(), hs256(keyA), false},
		{"HS256 of a secret that EdDSA has replaced", "HS256", unused.KeyID(), hs256(keyB), false},
		{"EdDSA of the attacker under the public key's kid", "EdDSA", ring.KeyID(), eddsa, false},
		{"EdDSA of the attacker under the secret's kid", "EdDSA", secret.KeyID(), eddsa, false},
		{"EdDSA, unsigned", "EdDSA", ring.KeyID(), unsigned, false},
		{"EdDSA of zeros", "EdDSA", ring.KeyID(), func(string) string { return strings.Repeat("A", 86) }, false},
		{"ed25519 as another spelling", "Ed25519", ring.KeyID(), eddsa, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			input := encode(t, map[string]any{"alg": tt.alg, "typ": "at+jwt", "kid": tt.kid}) + "." + encode(t, map[string]any{
				"iss": "petal", "aud": "petal-api", "sub": "student", "jti": "0.AAAAAAAAAAAAAAAAAAAAAA", "scope": "predict",
				"iat": epoch.Unix(), "exp": epoch.Add(time.Minute).Unix(),
			})
			_, err := verifier.Verify(input + "." + tt.sign(input))
			if tt.accepted {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, token.ErrInvalid)
			messages.Add(tt.name, err)
		})
	}
}

func TestRotateEdDSA(t *testing.T) {
	dir := t.TempDir()
	_, err := token.RotateEdDSA(dir, epoch)
	require.Error(t, err)
	golden.New(t).Add("no key yet", within(dir, err))
	require.NoFileExists(t, filepath.Join(dir, token.EdDSAKeyFile))

	c := &clock{now: epoch}
	first := openEdDSA(t, dir, epoch)
	issuer, _ := issuerVerifier(t, first, c)
	old, _, err := issuer.Issue(token.Grant{Subject: "student"})
	require.NoError(t, err)
	id, err := token.RotateEdDSA(dir, epoch)
	require.NoError(t, err)
	require.NotEqual(t, first.KeyID(), id)
	second := openEdDSA(t, dir, epoch)
	require.Equal(t, id, second.KeyID())
	ids, _ := publicKeys(t, second)
	require.Equal(t, []string{id, first.KeyID()}, ids)
	_, verifier := issuerVerifier(t, second, c)
	_, err = verifier.Verify(old)
	require.NoError(t, err, "what the key before has signed stays good")

	third, err := token.RotateEdDSA(dir, epoch.Add(time.Hour))
	require.NoError(t, err)
	ids, _ = publicKeys(t, openEdDSA(t, dir, epoch.Add(time.Hour)))
	require.Equal(t, []string{third, id, first.KeyID()}, ids)
	ids, _ = publicKeys(t, openEdDSA(t, dir, epoch.Add(token.MaxLifetime+time.Minute)))
	require.Equal(t, []string{third, id}, ids, "no token of the first key can be alive")
	_, err = token.RotateEdDSA(dir, epoch.Add(100*time.Hour))
	require.NoError(t, err)
	ids, _ = publicKeys(t, openEdDSA(t, dir, epoch.Add(100*time.Hour)))
	require.Len(t, ids, 2)
	content, err := os.ReadFile(filepath.Join(dir, token.EdDSAKeyFile))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(content), "BEGIN PRIVATE KEY"), "no private key outlives its rotation")
	require.Equal(t, 1, strings.Count(string(content), "BEGIN PUBLIC KEY"))
}

func TestHS256HasNoPublicKeys(t *testing.T) {
	ring, err := token.NewKeyring([]byte(keyA), []byte(keyB))
	require.NoError(t, err)
	require.JSONEq(t, `{"keys":[]}`, string(ring.JWKS()))
	require.Equal(t, "HS256", ring.Algorithm())
	_, _, err = token.OpenKeyring(token.KeyConfig{StateDir: t.TempDir(), Algorithm: "none"})
	require.Error(t, err)
	golden.New(t).Add("unknown algorithm", err)
}

func TestDamagedEdDSAKeys(t *testing.T) {
	messages := golden.New(t)
	dir := t.TempDir()
	openEdDSA(t, dir, epoch)
	path := filepath.Join(dir, token.EdDSAKeyFile)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, content := range map[string]string{
		"cut":           string(whole[:60]),
		"more behind":   string(whole) + "rest",
		"two private":   string(whole) + string(whole),
		"no key":        "nothing",
		"other kind":    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"no retirement": string(whole) + "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, _, err := token.OpenKeyring(token.KeyConfig{StateDir: dir, Algorithm: token.EdDSA})
		require.ErrorContains(t, err, path, name)
		messages.Add(name, within(dir, err))
		require.NotContains(t, err.Error(), strings.Split(string(whole), "\n")[1], name)
		_, err = token.RotateEdDSA(dir, epoch)
		require.ErrorContains(t, err, path, name)
		messages.Add(name+", rotated", within(dir, err))
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(kept), "a damaged file is not written over: %s", name)
	}
}

// TestWatch rotates the kept key beside two running replicas: at no time does
// one refuse what the other issues, and soon both sign with the new key.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	cfg := token.KeyConfig{StateDir: dir, Algorithm: token.EdDSA}
	synctest.Test(t, func(t *testing.T) {
		type replica struct {
			issuer   *token.Issuer
			verifier *token.Verifier
		}
		var (
			replicas [2]replica
			watchers sync.WaitGroup
		)
		ctx := t.Context()
		for i := range replicas {
			ring, _, err := token.OpenKeyring(cfg)
			require.NoError(t, err)
			r := &replicas[i]
			r.issuer, err = token.NewIssuer(ring, token.DefaultConfig(time.Minute))
			require.NoError(t, err)
			r.verifier, err = token.NewVerifier(ring, token.DefaultConfig(time.Minute))
			require.NoError(t, err)
			time.Sleep(300 * time.Millisecond) // they do not start at once
			watchers.Go(func() { token.Watch(ctx, cfg, slog.New(slog.DiscardHandler), r.verifier, r.issuer) })
		}
		old := replicas[0].verifier.Keys().KeyID()
		id, err := token.RotateEdDSA(dir, time.Now())
		require.NoError(t, err)
		signers := map[string]int{}
		for range 200 {
			time.Sleep(50 * time.Millisecond)
			for i := range replicas {
				raw, _, err := replicas[i].issuer.Issue(token.Grant{Subject: "student"})
				require.NoError(t, err)
				header, _ := decode(t, raw)
				signers[header["kid"].(string)]++ //nolint:forcetypeassert // fails the test
				for j := range replicas {
					_, err = replicas[j].verifier.Verify(raw)
					require.NoError(t, err)
				}
			}
		}
		require.Len(t, signers, 2)
		require.Positive(t, signers[old])
		require.Greater(t, signers[id], 100)

		require.NoError(t, os.WriteFile(filepath.Join(dir, token.EdDSAKeyFile), []byte("damaged"), 0o600))
		time.Sleep(10 * time.Second)
		require.Equal(t, id, replicas[0].verifier.Keys().KeyID(), "the keys at hand stay in force")
	})
}
