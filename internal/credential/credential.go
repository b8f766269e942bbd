// Package credential holds the rules for names, passwords and signing keys, how
// strong ones are made, and how they are kept in files.
//
// It knows no users and no tokens: packages account and token build on it, and
// settings checks with it what an operator wrote.
package credential

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Errors that say which rule was broken. Their text is for the person who chose
// the credential and never holds it.
var (
	ErrWeakKey  = errors.New("weak key")
	ErrPassword = errors.New("password refused")
	ErrUsername = errors.New("user name refused")
)

// refusal joins a sentinel with a text of its own, so that the text can start
// with what is wrong.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

// username allows what is safe in logs, file names and shells, and e-mail
// addresses.
var username = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)

// CheckUsername refuses what cannot be the name of a user.
func CheckUsername(name string) error {
	if !username.MatchString(name) {
		return refuse(ErrUsername, "is not a user name: 1 to 64 of A-Z a-z 0-9 . _ @ + -, the first a letter or digit")
	}
	return nil
}

// NewKey makes a signing key of 256 random bits, as 43 signs of base64url: its
// text is the key, so that it can be moved to SECRET_KEY as it stands.
func NewKey() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never returns an error
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// letters for generated passwords: 32 signs, five bits each, none of which looks
// like another.
const letters = "abcdefghijkmnpqrstuvwxyz23456789"

// NewPassword makes a password of 100 random bits in five groups, easy to read
// out and to type: "k3vq-8mzt-pw5n-hd2r-xj7c".
func NewPassword() string {
	var random [20]byte
	_, _ = rand.Read(random[:])
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[r%byte(len(letters))])
	}
	return b.String()
}
