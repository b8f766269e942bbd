package dataset

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/rows"
)

// A Kind is what the values of a column are.
type Kind string

// The kinds of columns.
const (
	Number   Kind = "number"
	Integer  Kind = "integer" // a number without a fraction
	Boolean  Kind = "boolean"
	Category Kind = "category"
	Date     Kind = "date"
	Text     Kind = "text"     // free text
	ID       Kind = "id"       // tells rows apart, and nothing else
	Constant Kind = "constant" // one value only
	Empty    Kind = "empty"    // no value at all
)

// Kinds are those that a user may give a column.
var Kinds = []Kind{Number, Integer, Boolean, Category, Date, Text, ID}

// A Use is what becomes of a column.
type Use string

// The uses of columns.
const (
	Feature Use = "feature"
	Label   Use = "label"
	LeftOut Use = "left out"
	Dropped Use = "dropped" // as the user wants it
)

// A Column is a column of a table: what it is, and what becomes of it.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	Use  Use    `json:"use"`
	// Why says what the kind was told by, where that is not plain to see.
	Why      string `json:"why,omitempty"`
	Given    bool   `json:"given,omitempty"` // the kind is the user's
	Missing  int    `json:"missing"`
	Distinct int    `json:"distinct"`
	Example  string `json:"example,omitempty"`
	// Markers are the texts that stand for a missing value here, beside the usual
	// ones.
	Markers []string `json:"markers,omitempty"`
	// Categories are the texts of a category, sorted: the matrix holds their
	// indices. Those of a boolean are the text for false and that for true.
	Categories []string `json:"categories,omitempty"`

	notation notation
}

// IsText says whether the column's values are texts, which the matrix holds as
// indices into Categories.
func (c Column) IsText() bool { return c.Kind == Category || c.Kind == Boolean }

// A Spec is what a user says of a column.
type Spec struct {
	Kind    Kind   // empty: to be found out
	Decimal string // "," where numbers have a decimal comma; empty: to be found out
}

// Limits of what a column is looked at with.
const (
	maxSurveyed   = 100_000 // distinct texts of a column, and as many numbers
	maxCategories = 10_000
	minIDRows     = 30
)

// survey is what was seen of one column.
type survey struct {
	texts, numbers map[string]*seen
	overflow       bool // there are more texts, or numbers, than are kept
	n              int  // values that are not missing
	missing        int
	numeric        int // values that are numbers
	whole          bool
	largest        float64
}

type seen struct{ count, line int }

func newSurvey() *survey {
	return &survey{texts: map[string]*seen{}, numbers: map[string]*seen{}, whole: true}
}

// add takes a value, without blanks around it.
func (s *survey) add(value string, isMissing bool, line int) {
	if isMissing {
		s.missing++
		return
	}
	s.n++
	for _, known := range []map[string]*seen{s.numbers, s.texts} {
		if k := known[value]; k != nil {
			k.count++
			if len(s.numbers) > 0 && s.numbers[value] == k {
				s.numeric++
			}
			return
		}
	}
	known := s.texts
	if v, err := rows.ParseNumber(value); err == nil && !math.IsNaN(v) {
		s.numeric++
		s.whole = s.whole && v == math.Trunc(v)
		s.largest = max(s.largest, math.Abs(v))
		known = s.numbers
	}
	if len(known) == maxSurveyed {
		s.overflow = true
		return
	}
	known[strings.Clone(value)] = &seen{1, line}
}

// all calls f for each distinct value that is known.
func (s *survey) all(f func(value string, n int) bool) bool {
	for _, known := range []map[string]*seen{s.numbers, s.texts} {
		for value, k := range known {
			if !f(value, k.count) {
				return false
			}
		}
	}
	return true
}

// distinct is the number of different values, as far as they were counted.
func (s *survey) distinct() int { return len(s.texts) + len(s.numbers) }

// take makes missing values of texts.
func (s *survey) take(texts []string) {
	for _, t := range texts {
		if k := s.texts[t]; k != nil {
			s.n, s.missing = s.n-k.count, s.missing+k.count
			delete(s.texts, t)
		}
	}
}

// example is the value that stands there most often, of several the first.
func (s *survey) example() string {
	best, most := "", 0
	s.all(func(v string, n int) bool {
		if n > most || n == most && v < best {
			best, most = v, n
		}
		return true
	})
	return best
}

// column decides what a column is.
func (s *survey) column(name string, spec Spec, delimiter string) Column {
	c := Column{Name: name, Use: Feature, Given: spec.Kind != ""}
	if found := s.markers(); found != nil && spec.Kind != Category && spec.Kind != Text && spec.Kind != ID {
		c.Markers = found
		s.take(found)
		c.Why = "missing: " + list(found)
	}
	kind, why := s.kind(&c, delimiter, spec)
	c.Kind = kind
	if why != "" {
		c.Why = why + suffix(c.Why)
	}
	if c.Given {
		c.Kind = spec.Kind
	}
	c.Missing, c.Distinct, c.Example = s.missing, s.distinct(), s.example()
	switch c.Kind {
	case ID, Text, Constant, Empty, Date:
		c.Use = LeftOut
	case Boolean, Category:
		c.Categories = s.categories(c.Kind)
	}
	return c
}

func suffix(before string) string {
	if before == "" {
		return ""
	}
	return "; " + before
}

// markers are the texts that stand for missing values because the rest are
// numbers or dates: two of them at most.
func (s *survey) markers() []string {
	var found []string
	different := map[string]bool{}
	others := 0
	for t, k := range s.texts {
		if isMarker(t) {
			found = append(found, t)
			different[strings.ToLower(t)] = true
			others += k.count
		}
	}
	if found == nil || len(different) > 2 || 2*others > s.n {
		return nil
	}
	rest := 0 // texts that are no numbers in any notation
	for t := range s.texts {
		if !isMarker(t) && !inSomeNotation(t) && dateForm(t) < 0 {
			rest++
		}
	}
	if rest > 0 {
		return nil
	}
	slices.Sort(found)
	return found
}

func inSomeNotation(s string) bool {
	for n := grouped; n <= signed; n++ {
		if n.fits(s) {
			return true
		}
	}
	return false
}

// dateForm is the index of the form of a date, −1 for what is none.
func dateForm(s string) int {
	if s == "" || s[0] > '9' && len(s) > 30 {
		return -1
	}
	for i, d := range dateForms {
		if d.form.MatchString(s) {
			return i
		}
	}
	return -1
}

// kind is what a column is, and what that was told by where it is not plain to
// see. It sets the notation of numbers.
func (s *survey) kind(c *Column, delimiter string, spec Spec) (Kind, string) {
	d := s.distinct()
	switch {
	case s.n == 0:
		return Empty, ""
	case len(s.texts) == 0:
		return s.numberKind(d)
	}
	if pair := s.truth(); pair != nil {
		return Boolean, ""
	}
	if s.setNotation(c, delimiter, spec) {
		if d == 1 {
			return Constant, ""
		}
		if s.wholeIn(c.notation) {
			return Integer, c.notation.String()
		}
		return Number, c.notation.String()
	}
	if d == 1 {
		return Constant, ""
	}
	if form := s.date(); form != "" {
		return Date, form
	}
	if s.nearlyNumbers() {
		return Number, "nearly all are numbers"
	}
	return s.textKind(d)
}

// numberKind is the kind of a column whose values are plain numbers.
func (s *survey) numberKind(d int) (Kind, string) {
	if s.padded() {
		if d <= max(s.n/2, 50) {
			return Category, "leading zeros"
		}
		return ID, "leading zeros"
	}
	switch {
	case s.whole && s.largest > maxExact:
		return ID, "beyond 2^53"
	case s.whole:
		return Integer, ""
	}
	return Number, ""
}

// maxExact bounds the whole numbers of which float64 holds each one.
const maxExact = 1 << 53

// padded says whether the numbers are codes of one width, some with a zero in
// front.
func (s *survey) padded() bool {
	width, zero := 0, false
	same := s.all(func(v string, _ int) bool {
		if width == 0 {
			width = len(v)
		}
		zero = zero || v[0] == '0' && len(v) > 1
		return len(v) == width && isDigits(v)
	})
	return same && zero && width >= 3
}

// truth is the pair of texts that makes a column boolean.
func (s *survey) truth() []string {
	if len(s.numbers) > 0 || len(s.texts) < 2 || len(s.texts) > 6 {
		return nil
	}
	lower := map[string]bool{}
	for t := range s.texts {
		lower[strings.ToLower(t)] = true
	}
	for _, pair := range truths {
		if len(lower) == 2 && lower[pair[0]] && lower[pair[1]] {
			return pair[:]
		}
	}
	return nil
}

// setNotation finds the notation that all values are numbers in. A decimal comma
// is one only where the comma does not stand between the fields.
func (s *survey) setNotation(c *Column, delimiter string, spec Spec) bool {
	for n := grouped; n <= signed; n++ {
		if n == decimalComma && delimiter == "," && spec.Decimal != "," || n == grouped && spec.Decimal == "," {
			continue
		}
		if s.all(func(v string, _ int) bool { return n.fits(v) }) {
			c.notation = n
			return true
		}
	}
	return false
}

func (s *survey) wholeIn(n notation) bool {
	return s.all(func(v string, _ int) bool {
		x, err := rows.ParseNumber(n.clean(v))
		return err == nil && x == math.Trunc(x)
	})
}

// date names the form that 99 of 100 values are dates in.
func (s *survey) date() string {
	counts := make([]int, len(dateForms))
	s.all(func(v string, n int) bool {
		if i := dateForm(v); i >= 0 {
			counts[i] += n
		}
		return true
	})
	for i, n := range counts {
		if 100*n >= 99*s.n {
			return dateForms[i].name
		}
	}
	return ""
}

// nearlyNumbers says whether the few texts among the numbers are faults rather
// than categories: a single one, or very few.
func (s *survey) nearlyNumbers() bool {
	return s.numeric == s.n-1 || 20*s.numeric >= 19*s.n && len(s.numbers) > 20 && len(s.texts) <= 5
}

// textKind is the kind of a column of texts of d different values.
func (s *survey) textKind(d int) (Kind, string) {
	words := 0
	s.all(func(v string, _ int) bool { words += len(strings.Fields(v)); return true })
	many := float64(words) >= 3*float64(d)
	share := float64(d) / float64(s.n)
	switch {
	case (share >= .95 && s.n >= minIDRows || s.overflow || d > maxCategories) && many:
		return Text, fmt.Sprintf("%d different texts", d)
	case share >= .95 && s.n >= minIDRows:
		return ID, "nearly every row differs"
	case s.overflow || d > maxCategories:
		return ID, fmt.Sprintf("more than %d different texts", maxCategories)
	case d >= 200 && many && share > .1, share > .5 && s.n >= 100 && many:
		return Text, fmt.Sprintf("%d different texts", d)
	case 2*s.numeric >= s.n:
		return Category, fmt.Sprintf("%d of %d values are numbers, %s is not", s.numeric, s.n, quote(s.firstText()))
	}
	return Category, ""
}

func (s *survey) firstText() string {
	return slices.MinFunc(slices.Collect(keys(s.texts)), func(a, b string) int {
		return cmp.Or(s.texts[b].count-s.texts[a].count, cmp.Compare(a, b))
	})
}

func keys(m map[string]*seen) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// categories are the texts of a category, sorted. A boolean has two, of each
// spelling the most frequent one.
func (s *survey) categories(kind Kind) []string {
	var all []string
	s.all(func(v string, _ int) bool { all = append(all, v); return true })
	slices.Sort(all)
	pair := s.truth()
	if kind != Boolean || pair == nil {
		return all
	}
	two := make([]string, 2)
	for i, want := range pair {
		for _, v := range all {
			if strings.EqualFold(v, want) && (two[i] == "" || s.texts[v].count > s.texts[two[i]].count) {
				two[i] = v
			}
		}
	}
	return two
}
