package credential

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"
)

// MinKeyBytes is the least length of a signing key: HS256 wants one as long as
// its hash (RFC 7518, section 3.2).
const MinKeyBytes = 32

// minKeyBits is the least Shannon entropy of a key as a whole. The tightest
// honest key, 32 random hexadecimal digits, has 128 bits and measures about 116
// here (88 at the worst of two million); two signs alone measure 32.
const minKeyBits = 80

// placeholders are what people and tutorials leave in a key that was to be
// replaced. A random base64 key holds one of six letters by chance once in
// millions of keys.
var placeholders = []string{
	"changeme", "changethis", "default", "example", "insert", "password", "placeholder", "replace", "secret", "signingkey", "yourkey",
}

// publishedKeys are SHA-256 hashes of keys that stand in well-known
// documentation, among them the one of FastAPI's OAuth2 tutorial.
var publishedKeys = []string{
	"570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89",
}

// CheckKey refuses a signing key that is short, a placeholder, published or
// guessable. The error is [ErrWeakKey]; it does not hold the key.
func CheckKey(key []byte) error {
	switch {
	case len(key) < MinKeyBytes:
		return refuse(ErrWeakKey, "has %d bytes where %d are the least", len(key), MinKeyBytes)
	case isPublished(key):
		return refuse(ErrWeakKey, "is a published example that everybody knows")
	case holdsPlaceholder(key):
		return refuse(ErrWeakKey, "looks like a placeholder that was not replaced")
	case isPeriodic(key), isSequential(key), shannonBits(key) < minKeyBits:
		return refuse(ErrWeakKey, "is too regular to be random")
	}
	return nil
}

func isPublished(key []byte) bool {
	sum := sha256.Sum256(key)
	return slices.Contains(publishedKeys, hex.EncodeToString(sum[:]))
}

// holdsPlaceholder looks for placeholders with case and separators ignored.
func holdsPlaceholder(key []byte) bool {
	text := strings.NewReplacer("-", "", "_", "", " ", "", ".", "").Replace(strings.ToLower(string(key)))
	return slices.ContainsFunc(placeholders, func(p string) bool { return strings.Contains(text, p) })
}

// isPeriodic tells whether the key repeats its beginning at least twice.
func isPeriodic(key []byte) bool {
	for period := 1; period <= len(key)/2; period++ {
		if bytes.Equal(key[period:], key[:len(key)-period]) {
			return true
		}
	}
	return false
}

// isSequential tells whether three in four signs follow from the one before, as in
// "abcdefgh…" or "0123456789…".
func isSequential(key []byte) bool {
	steps := 0
	for i := 1; i < len(key); i++ {
		if d := int(key[i]) - int(key[i-1]); d >= -1 && d <= 1 {
			steps++
		}
	}
	return steps > len(key)*3/4
}

// shannonBits is the entropy of the distribution of bytes, over the whole key.
func shannonBits(key []byte) float64 {
	var count [256]int
	for _, b := range key {
		count[b]++
	}
	bits, n := 0.0, float64(len(key))
	for _, c := range count {
		if c > 0 {
			bits -= float64(c) * math.Log2(float64(c)/n)
		}
	}
	return bits
}
