package trainer

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/training"
)

// printTable shows what a file is taken for: its form, each column with what
// becomes of it, and what to write where that is wrong.
func printTable(w io.Writer, p *training.Profile) {
	t := p.Table
	_, _ = fmt.Fprintf(w, "%s: %d rows, %d columns, %s\n", p.Path, t.Rows, len(t.Columns), t.Describe())
	_, _ = fmt.Fprintf(w, "label %s: %s\n\n", t.Label().Name, labelLine(p))
	leftOut := map[string]dataset.Column{}
	for _, c := range p.LeftOut {
		leftOut[c.Name] = c
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "COLUMN\tKIND\tMISSING\tDISTINCT\tEXAMPLE\tIN THE MODEL\tTO CHANGE IT")
	for _, c := range t.Columns {
		if c.Use == dataset.Label {
			continue
		}
		if out, found := leftOut[c.Name]; found {
			c.Kind, c.Use, c.Why = out.Kind, out.Use, out.Why
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n",
			printable(c.Name), c.Kind, share(c.Missing, t.Rows), c.Distinct, printable(c.Example), c.Becomes(), c.ToChange())
	}
	_ = table.Flush() // a terminal that is gone needs no table
	printNotes(w, p)
}

// labelLine says which classes there are, the largest first.
func labelLine(p *training.Profile) string {
	if len(p.Classes) == 0 {
		return fmt.Sprintf("%d different values", p.Table.Label().Distinct)
	}
	const most = 10
	parts := make([]string, 0, most)
	for _, c := range p.Classes[:min(most, len(p.Classes))] {
		parts = append(parts, fmt.Sprintf("%s %d", printable(c.Label), c.Rows))
	}
	if len(p.Classes) > most {
		parts = append(parts, "…")
	}
	return fmt.Sprintf("%d classes (%s)", len(p.Classes), strings.Join(parts, ", "))
}

func share(n, of int) string {
	if n == 0 || of == 0 {
		return "0"
	}
	return fmt.Sprintf("%.2g %%", 100*float64(n)/float64(of))
}

// printable is a text of the file, short and without control characters.
func printable(s string) string {
	const most = 24
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` {
		return q
	}
	return s
}
