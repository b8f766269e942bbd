package model

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/petal-ml/petal/internal/mlmodel"
)

// learned takes what Petal's training knew of a column of texts. A missing one is
// a category like others: the graph has a code for it.
func (f *Feature) learned(petal *mlmodel.PetalMetadata) {
	if petal == nil || f.Kind != Text {
		return
	}
	i := slices.IndexFunc(petal.Features, func(p mlmodel.PetalFeature) bool { return p.Name == f.Name })
	if i < 0 || petal.Features[i].Kind == "" {
		return
	}
	f.Categories, f.Boolean, f.MayBeMissing = petal.Features[i].Categories, petal.Features[i].Kind == kindBoolean, true
	if f.Categories == nil {
		f.Categories = []string{}
	}
	if f.Boolean && len(f.Categories) != 2 { // not of our making
		f.Boolean = false
	}
	f.known = make(map[string]struct{}, len(f.Categories))
	for _, text := range f.Categories {
		f.known[text] = struct{}{}
	}
	for _, text := range missingTexts {
		f.known[text] = struct{}{}
	}
	for _, text := range f.Categories {
		if f.Boolean {
			lower := strings.ToLower(text)
			for _, spelled := range []string{lower, strings.ToUpper(text), strings.ToUpper(lower[:min(1, len(lower))]) + lower[min(1, len(lower)):], "0", "1"} {
				f.known[spelled] = struct{}{}
			}
		}
	}
}

// Kinds of columns of texts, as MLmodel files and /model-info have them.
const (
	kindBoolean  = "boolean"
	kindCategory = "category"
)

// Learned is the kind of a column that Petal's training told it by: "category",
// "boolean", or empty.
func (f *Feature) Learned() string {
	switch {
	case f.Boolean:
		return kindBoolean
	case f.Categories != nil:
		return kindCategory
	}
	return ""
}

// missingTexts are those that Petal's graphs take for a missing value.
var missingTexts = []string{"", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "#N/A", "#NA", "<NA>", "None"}

// Unseen says whether a value is a category that training did not know.
func (f *Feature) Unseen(c Cell) bool {
	if f.Categories == nil || c.Kind != Text {
		return false
	}
	_, known := f.known[c.Text]
	return !known
}

// text is a value as the graph takes it. Of a boolean true and false, 1 and 0 are
// its words; a number is a category where it is written as one.
func (f *Feature) text(c Cell) (string, bool) {
	switch {
	case c.IsMissing():
		return "", true
	case c.Kind == Text:
		return c.Text, true
	case f.Boolean && (c.Number == 0 || c.Number == 1):
		return f.Categories[int(c.Number)], true
	case c.Kind == Boolean:
		for _, word := range []string{strconv.FormatBool(c.Number != 0), map[bool]string{true: "True", false: "False"}[c.Number != 0]} {
			if slices.Contains(f.Categories, word) {
				return word, true
			}
		}
		return "", false
	}
	written := c.Text
	if written == "" {
		number, err := json.Marshal(c.Number)
		if err != nil {
			return "", false
		}
		written = string(number)
	}
	_, known := f.known[written]
	return written, known
}
