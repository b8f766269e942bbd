package dataset

import (
	"fmt"
	"strings"
)

// An Error is one fault of the data: where it is, what it is, and what to do.
// Whoever meets one has been given bad input.
type Error struct {
	File    string
	Line    int    // from 1, the header included; 0 when it concerns the whole file
	Column  string // name of the column; empty when it concerns the whole line
	Problem string
	Remedy  string
	Err     error // the cause, where there is one
}

// Error is the fault on one line: "iris.csv, line 7, column petal_width: … ; …".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ", line %d", e.Line)
	}
	if e.Column != "" {
		fmt.Fprintf(&b, ", column %s", printable(e.Column))
	}
	b.WriteString(": " + e.Problem)
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// maxShown is how many runes of the file's own text a message repeats.
const maxShown = 40

// quote shows text from the file: quoted, so that control characters cannot
// reach a terminal, and cut to a readable length.
func quote(s string) string {
	if r := []rune(s); len(r) > maxShown {
		s = string(r[:maxShown]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// printable shows a name as it is where it is a plain one, else quoted.
func printable(s string) string {
	if q := quote(s); q != `"`+s+`"` || s == "" || strings.ContainsAny(s, " ,;:") {
		return q
	}
	return s
}
