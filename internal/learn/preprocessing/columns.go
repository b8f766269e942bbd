package preprocessing

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// A Column says what the values of a column of the matrix are.
type Column struct {
	Name string
	// Categories are the texts that the values are indices into; nil for a column
	// of numbers. Of a boolean they are the text for false and that for true.
	Categories []string
	Boolean    bool
}

// Limits of the categories that are told apart in one column: the rest, those with
// the fewest rows, are one category more.
const (
	MaxCodes  = 254 // HistGradientBoosting has so many bins
	MaxOneHot = 100
)

// ColumnEncoder makes numbers that an estimator takes of columns of several kinds:
// numbers stay, categories become codes (scikit-learn's OrdinalEncoder) or columns
// of 0 and 1 (its OneHotEncoder). It learns from the rows that Fit is given, and
// from them alone, which categories there are. A category that they do not have is
// "other", a missing one is of its own.
//
// Codes are 0 … K−1 in the order of the texts, K for other, and NaN for missing, or
// K+1 with Impute; columns keep their order. Columns of 0 and 1 follow the numbers:
// one a category, one for other categories where there are more than [MaxOneHot],
// one for missing where the rows miss some.
type ColumnEncoder struct {
	Columns []Column
	OneHot  bool
	// Impute puts the median in place of a missing number, and a code in that of
	// a missing category.
	Impute bool

	// After Fit: the median of each column of numbers, and of each category its
	// code; −1 for other.
	Statistics []float64
	Codes      [][]int

	groups  []group // for each column
	numbers int     // columns of numbers
	width   int
}

// A group is what a column of categories became.
type group struct {
	known   int  // categories with a code of their own
	other   bool // one-hot: rare ones have a column
	missing bool // one-hot: missing values have a column
	at      int  // first column of the output
}

var _ learn.Widener = (*ColumnEncoder)(nil)

// Name returns "ColumnEncoder".
func (*ColumnEncoder) Name() string { return "ColumnEncoder" }

// Params returns how categories are written.
func (e *ColumnEncoder) Params() map[string]any {
	if e.OneHot {
		return map[string]any{"categories": "one-hot", "max_categories": MaxOneHot}
	}
	return map[string]any{"categories": "codes", "max_categories": MaxCodes}
}

// Width is the number of features after Fit.
func (e *ColumnEncoder) Width() int { return e.width }

// Categorical are the features that hold codes of categories.
func (e *ColumnEncoder) Categorical() []int {
	var which []int
	for j, c := range e.Columns {
		if c.Categories != nil && !e.OneHot {
			which = append(which, j)
		}
	}
	return which
}

// Numbers is how many columns hold numbers: one-hot, the first features.
func (e *ColumnEncoder) Numbers() int {
	n := 0
	for _, c := range e.Columns {
		if c.Categories == nil {
			n++
		}
	}
	return n
}

// Fit learns medians and categories.
func (e *ColumnEncoder) Fit(ctx context.Context, rows learn.Rows) error {
	if len(rows.Through) > 0 {
		return fmt.Errorf("fit ColumnEncoder: it stands first: %w", learn.ErrShape)
	}
	n, p := rows.X.Dims()
	if p != len(e.Columns) {
		return fmt.Errorf("fit ColumnEncoder: %d columns given, %d known: %w", p, len(e.Columns), learn.ErrShape)
	}
	e.Statistics, e.Codes, e.groups = make([]float64, p), make([][]int, p), make([]group, p)
	e.numbers = e.Numbers()
	e.width = e.numbers
	column := make([]float64, 0, n)
	for j, c := range e.Columns {
		if err := ctx.Err(); err != nil {
			return err
		}
		column = column[:0]
		for i := range n {
			if v := rows.X.At(i, j); math.IsInf(v, 0) {
				return fmt.Errorf("fit ColumnEncoder: row %d, column %d is %v: %w", i, j, v, learn.ErrValue)
			} else if !math.IsNaN(v) {
				column = append(column, v)
			}
		}
		if c.Categories == nil {
			if e.Impute {
				e.Statistics[j] = median(column)
			}
			continue
		}
		e.fitCategories(j, column, len(column) < n)
	}
	if !e.OneHot {
		e.width = p
	}
	return nil
}

// fitCategories gives the categories of a column their codes.
func (e *ColumnEncoder) fitCategories(j int, values []float64, missing bool) {
	counts := make([]int, len(e.Columns[j].Categories))
	for _, v := range values {
		counts[int(v)]++
	}
	var found []int
	for k, n := range counts {
		if n > 0 {
			found = append(found, k)
		}
	}
	most := MaxCodes
	if e.OneHot {
		most = MaxOneHot
	}
	g := group{missing: missing, at: e.width}
	if len(found) > most {
		slices.SortFunc(found, func(a, b int) int { return cmp.Or(counts[b]-counts[a], a-b) })
		found, g.other = found[:most], true
		slices.Sort(found)
	}
	g.known = len(found)
	codes := make([]int, len(counts))
	for k := range codes {
		codes[k] = -1
	}
	for code, k := range found {
		codes[k] = code
	}
	e.Codes[j], e.groups[j] = codes, g
	e.width += g.columns()
}

// columns is how many columns of 0 and 1 the group has.
func (g group) columns() int {
	n := g.known
	if g.other {
		n++
	}
	if g.missing {
		n++
	}
	return n
}

// code is the code of a value: that of a category, or of other or missing.
// One-hot, −1 stands for a value without a column.
func (e *ColumnEncoder) code(j int, v float64) float64 {
	g := e.groups[j]
	switch {
	case math.IsNaN(v) && e.OneHot && g.missing:
		return float64(g.columns() - 1)
	case math.IsNaN(v) && e.OneHot:
		return -1
	case math.IsNaN(v) && e.Impute:
		return float64(g.known + 1)
	case math.IsNaN(v):
		return v
	}
	if k := int(v); k >= 0 && k < len(e.Codes[j]) && e.Codes[j][k] >= 0 {
		return float64(e.Codes[j][k])
	}
	return e.unseen(j)
}

// unseen is the code of other categories.
func (e *ColumnEncoder) unseen(j int) float64 {
	if g := e.groups[j]; !e.OneHot || g.other {
		return float64(g.known)
	}
	return -1
}

// TransformRow writes the features of a row of columns to dst.
func (e *ColumnEncoder) TransformRow(dst, row []float64) {
	if e.OneHot {
		clear(dst[e.numbers:])
	}
	number := 0
	for j, c := range e.Columns {
		v := row[j]
		if c.Categories == nil {
			if e.Impute && math.IsNaN(v) {
				v = e.Statistics[j]
			}
			if e.OneHot {
				dst[number] = v
				number++
			} else {
				dst[j] = v
			}
			continue
		}
		code := e.code(j, v)
		if !e.OneHot {
			dst[j] = code
		} else if code >= 0 {
			dst[e.groups[j].at+int(code)] = 1
		}
	}
}

// Emit adds the encoders of the columns, which are inputs of their own, and puts
// the features together.
func (e *ColumnEncoder) Emit(b *emit.Builder, _ string) (string, error) {
	inputs := b.Inputs()
	if e.Codes == nil || len(inputs) != len(e.Columns) {
		return "", fmt.Errorf("write ColumnEncoder as ONNX: %w", learn.ErrNotFitted)
	}
	var numbers, categories []string
	var medians []float64
	for j, c := range e.Columns {
		if c.Categories == nil {
			numbers = append(numbers, b.Column(inputs[j]))
			medians = append(medians, e.Statistics[j])
			continue
		}
		keys, codes := e.keys(j)
		if e.OneHot {
			if width := e.groups[j].columns(); width > 0 {
				categories = append(categories, b.OneHot(inputs[j], keys, whole(codes), int64(e.unseen(j)), width))
			}
			continue
		}
		// In the order of the columns.
		numbers = append(numbers, b.Column(b.Codes(inputs[j], keys, emit.Floats(codes), float32(e.unseen(j)))))
		medians = append(medians, 0)
	}
	if len(numbers) > 0 {
		output := b.Concat(numbers)
		if e.Impute {
			output = b.NodeML("Imputer", []string{output},
				onnx.FloatsAttribute("imputed_value_floats", emit.Floats(medians)...),
				onnx.FloatAttribute("replaced_value_float", float32(math.NaN())))
		}
		categories = append([]string{output}, categories...)
	}
	return b.Concat(categories), nil
}

func whole(codes []float64) []int64 {
	out := make([]int64, len(codes))
	for i, c := range codes {
		out[i] = int64(c)
	}
	return out
}

// MissingTexts stand for a missing value in a column of texts, unless one is a
// category of it. What MLflow and pandas make of a missing value is among them.
var MissingTexts = []string{"", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "#N/A", "#NA", "<NA>", "None"}

// Categories are the texts that have a code of their own, sorted; of a boolean
// both.
func (e *ColumnEncoder) Categories(column int) []string {
	c := e.Columns[column]
	if c.Boolean {
		return c.Categories
	}
	known := []string{}
	for k, text := range c.Categories {
		if code := e.Codes[column][k]; code >= 0 && code < e.groups[column].known {
			known = append(known, text)
		}
	}
	return known
}

// keys are the texts of a column that have another code than an unseen one, each
// once.
func (e *ColumnEncoder) keys(j int) (keys []string, codes []float64) {
	seen, other := map[string]bool{}, e.unseen(j)
	add := func(text string, code float64) {
		if !seen[text] && code != other && (!e.OneHot || code >= 0) {
			keys, codes = append(keys, text), append(codes, code)
		}
		seen[text] = true
	}
	c := e.Columns[j]
	for k, text := range c.Categories {
		add(text, e.code(j, float64(k)))
	}
	if c.Boolean {
		for k, text := range c.Categories {
			for _, spelled := range Spellings(text) {
				add(spelled, e.code(j, float64(k)))
			}
		}
		for k, text := range []string{"0", "1"} {
			add(text, e.code(j, float64(k)))
		}
	}
	for _, text := range MissingTexts {
		add(text, e.code(j, math.NaN()))
	}
	return keys, codes
}

// Spellings are the ways in which people write a word of a boolean.
func Spellings(word string) []string {
	if word == "" {
		return nil
	}
	lower := strings.ToLower(word)
	return []string{word, lower, strings.ToUpper(word), strings.ToUpper(lower[:1]) + lower[1:]}
}
