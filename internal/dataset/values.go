package dataset

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/rows"
)

// trim takes blanks off both ends, those of other scripts too.
func trim(s string) string {
	if s == "" || s[0] > ' ' && s[0] < 0x80 && s[len(s)-1] > ' ' && s[len(s)-1] < 0x80 {
		return s
	}
	return strings.TrimSpace(s)
}

// missingTexts stand for a missing value in any column.
var missingTexts = []string{"NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "#N/A", "#NA", "<NA>"}

// isMissing says whether a text stands for a missing value in any column.
func isMissing(s string) bool { return s == "" || slices.Contains(missingTexts, s) }

// markers stand for a missing value where the other values are numbers or dates.
var markers = []string{
	"?", "-", "--", "---", ".", "..", "...", "*", "na", "nil", "n.a.", "none", "unknown", "missing",
	"#value!", "#div/0!", "#ref!", "#name?", "#num!", "#null!",
}

func isMarker(s string) bool { return slices.Contains(markers, strings.ToLower(s)) }

// isNumber says whether a text is a finite number as Petal writes it.
func isNumber(s string) bool {
	if s == "" || s[0] > '9' { // no number begins with a letter
		return false
	}
	v, err := rows.ParseNumber(s)
	return err == nil && !math.IsNaN(v)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// A notation is a way in which numbers are written.
type notation uint8

const (
	plain        notation = iota
	grouped               // 1,234,567.8 or 1 234
	currency              // $1,234.50
	percent               // 12.5 %
	decimalComma          // 1.234,5
	signed                // −5, the minus of typographers
)

// String says what is special in it.
func (n notation) String() string {
	return [...]string{"", "thousands", "currency", "percent", "decimal comma", "minus sign"}[n]
}

var notations = [...]*regexp.Regexp{
	grouped:      regexp.MustCompile(`^[-+]?\d{1,3}([, \x{a0}\x{202f}']\d{3})+(\.\d+)?$`),
	currency:     regexp.MustCompile(`^([-+]?[$€£¥] ?[-+]?\d[\d,]*(\.\d+)?|[-+]?\d[\d,]*(\.\d+)? ?[$€£¥])$`),
	percent:      regexp.MustCompile(`^[-+]?\d+(\.\d+)?[ \x{a0}]?%$`),
	decimalComma: regexp.MustCompile(`^[-+]?(\d{1,3}([. \x{a0}\x{202f}']\d{3})+|\d+),\d+([eE][-+]?\d+)?$|^[-+]?,\d+$`),
	signed:       regexp.MustCompile(`^\x{2212}\d*\.?\d+([eE][-+\x{2212}]?\d+)?$`),
}

// fits says whether a text is a number in this notation; any plain number is,
// too, except that a decimal comma bears no point.
func (n notation) fits(s string) bool {
	if n != decimalComma && isNumber(s) {
		return true
	}
	switch n {
	case plain:
		return false
	case currency:
		return notations[currency].MatchString(s) || notations[grouped].MatchString(s)
	case decimalComma:
		return isNumber(s) && !strings.Contains(s, ".") || notations[n].MatchString(s)
	}
	return notations[n].MatchString(s)
}

var cleaners = [...]*strings.Replacer{
	plain:        strings.NewReplacer(),
	grouped:      strings.NewReplacer(",", "", " ", "", "\u00a0", "", "\u202f", "", "'", ""),
	currency:     strings.NewReplacer(",", "", " ", "", "$", "", "€", "", "£", "", "¥", ""),
	percent:      strings.NewReplacer("%", "", " ", "", "\u00a0", ""),
	decimalComma: strings.NewReplacer(",", ".", ".", "", " ", "", "\u00a0", "", "\u202f", "", "'", ""),
	signed:       strings.NewReplacer("\u2212", "-"),
}

// clean writes a number as [rows.ParseNumber] takes it.
func (n notation) clean(s string) string {
	if n == plain {
		return s
	}
	return cleaners[n].Replace(s)
}

// truths are the pairs of texts, in lower case, that make a column boolean: the
// one for false first.
var truths = [][2]string{{"false", "true"}, {"no", "yes"}, {"n", "y"}, {"f", "t"}}

// dateForms are the ways in which dates and times are written.
var dateForms = []struct {
	name string
	form *regexp.Regexp
}{
	{"ISO 8601", regexp.MustCompile(`^\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$`)},
	{"y/m/d", regexp.MustCompile(`^\d{4}/\d{1,2}/\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2})?)?$`)},
	{"d/m/y or m/d/y", regexp.MustCompile(`(?i)^\d{1,2}[/.\-]\d{1,2}[/.\-]\d{2,4}([ T]\d{1,2}:\d{2}(:\d{2})?( ?[AP]M)?)?$`)},
	{"month by name", regexp.MustCompile(`(?i)^(\d{1,2}[ -])?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ -]\d{2,4}$`)},
	{"time of day", regexp.MustCompile(`^\d{1,2}:\d{2}(:\d{2})?$`)},
}

// idName says whether a column's name is one of an identifier.
var idName = regexp.MustCompile(`(?i)(^|[^a-z])(id|idx|index|no|nr|num|number|key|code|rownames|row)($|[^a-z])|id$|^unnamed|rownumber`)
