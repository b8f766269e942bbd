package dataset

import (
	"bytes"
	"math"
	"slices"
	"unicode/utf8"
)

// What a column is for; features have their index instead.
const (
	labelColumn   = -1
	droppedColumn = -2
)

// A layout says what the fields of a row are.
type layout struct {
	comma        byte
	columns      []int // index of the feature, labelColumn or droppedColumn
	features     int
	allowMissing bool
	strict       bool // leaves everything to rows.Records, for tests

	// typed are the readings of features that are no plain numbers; see
	// typedColumn. unlabelled, where there is one, says which rows are left out.
	typed      []*reading
	unlabelled func(label []byte) bool
}

// A table is the rows of one block.
type table struct {
	ok      bool // all of them are good; otherwise nothing here counts
	values  []float64
	classes []int32 // indices into labels
	missing []int   // of each feature
	lines   int     // of the file
	padded  bool    // some number has a zero in front

	// The labels of this block and of those that used its memory before, and
	// where they stand among those of the whole file.
	labels []string
	index  map[string]int32
	global []int

	buf []byte
}

// buffer has room for n bytes of the file.
func (t *table) buffer(n int) []byte {
	if len(t.buf) < n {
		t.buf = make([]byte, n)
	}
	return t.buf
}

// parse reads the rows of a block the fast way, which knows what good files hold:
// numbers, and quotes around a whole field. Whatever else there is, faults among
// it, is left to rows.Records: the table is not ok then.
func (l *layout) parse(b *block) {
	t := &b.table
	t.ok, t.lines = false, bytes.Count(b.text, []byte{'\n'})
	if l.strict || b.err != nil {
		return
	}
	// A field takes a byte at least, its separator.
	room := min((t.lines+1)*l.features, len(b.text)+l.features)
	t.values, t.classes = slices.Grow(t.values[:0], room), t.classes[:0]
	if t.missing == nil {
		t.missing, t.index = make([]int, l.features), map[string]int32{}
	}
	clear(t.missing)
	text := b.text
	if n := len(text); n > 0 && text[n-1] != '\n' {
		text = append(text, '\n') // there is room: see fill
	}
	end := len(text)
	text = text[:end+scanAhead]
	for i := 0; i < end; {
		switch {
		case text[i] == '\n':
			i++
			continue
		case text[i] == '\r' && text[i+1] == '\n':
			i += 2
			continue
		}
		if i = l.parseRow(t, text, i); i < 0 {
			return
		}
	}
	t.ok = true
}

// parseRow adds the row that begins at text[i] and returns the index after its
// line; a negative one where it gives up.
func (l *layout) parseRow(t *table, text []byte, i int) int {
	row := len(t.values)
	t.values = t.values[:row+l.features]
	values := t.values[row:]
	last, skip := len(l.columns)-1, false
	for column, feature := range l.columns {
		var end int
		var ok bool
		if feature >= 0 {
			var v float64
			v, end, ok = scanFloat(text, i)
			if uint(text[i]^'0')<<8|uint(text[i+1]-'0') <= 9 { // 00501
				t.padded = true
			}
			if text[end] == '\r' && text[end+1] == '\n' {
				end++
			}
			if !ok || text[end] != l.comma && text[end] != '\n' || math.Abs(v) > math.MaxFloat32 {
				if v, end, ok = l.otherNumber(text, i); !ok {
					return -1
				}
				if math.IsNaN(v) {
					t.missing[feature]++
				}
			}
			values[feature] = v
		} else {
			var field []byte
			if field, end, ok = l.field(text, i); !ok {
				return -1
			}
			switch {
			case feature == labelColumn && l.unlabelled != nil && l.unlabelled(field):
				skip = true
			case feature == labelColumn && l.unlabelled != nil:
				if !t.addLabel(bytes.TrimSpace(field)) {
					return -1
				}
			case feature == labelColumn:
				if !t.addLabel(field) {
					return -1
				}
			case feature <= typedColumn:
				feature = typedColumn - feature
				if values[feature], ok = l.typed[feature].value(field); !ok {
					return -1
				}
			}
		}
		if column == last {
			if text[end] != '\n' {
				return -1
			}
		} else if text[end] != l.comma {
			return -1
		}
		i = end + 1
	}
	if skip {
		t.values = t.values[:row]
	}
	return i
}

// otherNumber reads a field that scanFloat has not understood.
func (l *layout) otherNumber(text []byte, i int) (v float64, end int, ok bool) {
	field, end, ok := l.field(text, i)
	if !ok {
		return 0, end, false
	}
	if len(field) == 0 {
		return math.NaN(), end, l.allowMissing
	}
	v, problem, _ := parseNumber(string(field))
	return v, end, problem == "" && (l.allowMissing || !math.IsNaN(v))
}

// field returns the content of the field at text[i] and the index of the
// separator or line feed after it.
func (l *layout) field(text []byte, i int) (content []byte, end int, ok bool) {
	if text[i] == '"' {
		n := bytes.IndexByte(text[i+1:], '"')
		if n < 0 {
			return nil, i, false
		}
		content, end = text[i+1:i+1+n], i+n+2
		if text[end] == '\r' && text[end+1] == '\n' {
			end++
		}
		return content, end, (text[end] == l.comma || text[end] == '\n') && bytes.IndexByte(content, '\n') < 0
	}
	for end = i; text[end] != l.comma && text[end] != '\n'; {
		end++
	}
	content = text[i:end]
	if n := len(content); text[end] == '\n' && n > 0 && content[n-1] == '\r' {
		content = content[:n-1]
	}
	return content, end, true
}

// addLabel adds the class of a row. What is no label, or one too many, it refuses.
func (t *table) addLabel(label []byte) bool {
	class, known := t.index[string(label)]
	if !known {
		if len(label) == 0 || !utf8.Valid(label) || len(t.labels) > maxClasses {
			return false
		}
		class = int32(len(t.labels)) // at most maxClasses
		t.labels = append(t.labels, string(label))
		t.index[t.labels[class]] = class
	}
	t.classes = append(t.classes, class)
	return true
}
