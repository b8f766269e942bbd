package credential

import (
	_ "embed"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds on passwords, after NIST SP 800-63B-4, section 3.1.1.2: at least eight
// characters, long phrases welcome, no rules on which signs they hold.
const (
	MinPasswordLength = 8    // characters
	MaxPasswordBytes  = 1024 // a bound on work, far above any phrase
)

// minPasswordBits is the least estimate that [CheckPassword] accepts. Two
// common words with a sign between them stay below it (about 23), eight random
// lower-case letters pass (37).
const minPasswordBits = 26

// CheckPassword refuses a password that is too short or too long, holds the
// user's name as its main part, or is among those that everybody tries first.
// The error is [ErrPassword]; it does not hold the password.
func CheckPassword(password, user string) error {
	switch length := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return refuse(ErrPassword, "is not valid text")
	case length < MinPasswordLength:
		return refuse(ErrPassword, "has %d characters where %d are the least", length, MinPasswordLength)
	case len(password) > MaxPasswordBytes:
		return refuse(ErrPassword, "has more than %d bytes", MaxPasswordBytes)
	case guessBits(password, user) < minPasswordBits:
		return refuse(ErrPassword, "is among the common ones that are tried first")
	}
	return nil
}

// Costs in bits of the parts that a guesser tries. A common word is one of
// about 600, a year one of about 130, a keyboard walk, a repeat or a sequence
// one of a few dozen times its length.
const (
	wordBits    = 9
	patternBits = 6
	yearBits    = 7
	digitBits   = 3.33
	letterBits  = 4.7
	otherBits   = 5.0
)

// guessBits estimates the logarithm of how many guesses find the password: the
// cheapest way to build it of common words, years, walks, repeats and single
// signs. The idea is that of zxcvbn (Wheeler, USENIX Security 2016), in small.
func guessBits(password, user string) float64 {
	text := foldSubstitutions(strings.ToLower(password))
	plain := []rune(strings.ToLower(password))
	user = foldSubstitutions(strings.ToLower(user))
	runes := []rune(text)

	cost := make([]float64, len(runes)+1)
	for end := 1; end <= len(runes); end++ {
		cost[end] = cost[end-1] + runeBits(plain[end-1])
		for start := max(0, end-maxPart); start <= end-3; start++ {
			bits := partBits(string(runes[start:end]), string(plain[start:end]), user)
			cost[end] = min(cost[end], cost[start]+bits)
		}
	}
	return cost[len(runes)]
}

// maxPart bounds the length of one part, so that long phrases cost little.
const maxPart = 32

// partBits prices one part, folded and as it was written.
func partBits(folded, plain, user string) float64 {
	switch {
	case len(user) >= 3 && folded == user, isCommonWord(folded), isCommonWord(plain):
		return wordBits
	case isYear(plain):
		return yearBits
	case isWalk(plain), isRun(plain), isRun(halved(plain)), isRepeat(plain):
		return patternBits
	}
	return math.Inf(1)
}

func runeBits(r rune) float64 {
	switch {
	case r >= '0' && r <= '9':
		return digitBits
	case r >= 'a' && r <= 'z':
		return letterBits
	default:
		return otherBits
	}
}

// foldSubstitutions undoes the usual replacements, sign for sign: "p@ssw0rd".
func foldSubstitutions(lower string) string {
	return strings.NewReplacer("0", "o", "1", "l", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i").Replace(lower)
}

//go:embed common_words.txt
var commonText string

// commonWords are the lower-case words that passwords are made of, sorted: names,
// animals, sports, colours, "welcome" and its like, and the words of this trade.
var commonWords = strings.Fields(commonText)

func isCommonWord(word string) bool {
	_, found := slices.BinarySearch(commonWords, word)
	return found
}

func isYear(part string) bool {
	return len(part) == 4 && (part[:2] == "19" || part[:2] == "20") && part[2] >= '0' && part[2] <= '9' && part[3] >= '0' && part[3] <= '9'
}

// isRun tells whether each sign is the one after, or before, the sign before
// it: "12345678", "hgfedcba".
func isRun(part string) bool {
	if len(part) < 3 {
		return false
	}
	step := int(part[1]) - int(part[0])
	if step != 1 && step != -1 {
		return false
	}
	for i := 2; i < len(part); i++ {
		if int(part[i])-int(part[i-1]) != step {
			return false
		}
	}
	return true
}

// halved undoes the doubling of each sign, "11223344"; it is empty where the
// signs are not doubled.
func halved(part string) string {
	half := make([]byte, 0, len(part)/2)
	for i := 0; i < len(part); i += 2 {
		if i+1 == len(part) || part[i] != part[i+1] {
			return ""
		}
		half = append(half, part[i])
	}
	return string(half)
}

// isRepeat tells whether the part is a unit of up to four bytes, over and over:
// "aaaaaaaa", "abcabcabc".
func isRepeat(part string) bool {
	for unit := 1; unit <= 4 && 2*unit <= len(part); unit++ {
		if part[unit:] == part[:len(part)-unit] {
			return true
		}
	}
	return false
}

// walks are the rows, columns and diagonals of the usual keyboards.
var walks = []string{
	"`1234567890-=", "!@#$%^&*()_+", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./",
	"qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
	"qazwsxedcrfvtgbyhnujm", "qweasdzxc", "zaq1xsw2cde3vfr4", "741852963", "147258369", "123qweasdzxc", "qwe123asd456",
}

func isWalk(part string) bool {
	if len(part) < 3 {
		return false
	}
	reversed := []byte(part)
	slices.Reverse(reversed)
	for _, w := range walks {
		if strings.Contains(w, part) || strings.Contains(w, string(reversed)) {
			return true
		}
	}
	return false
}
