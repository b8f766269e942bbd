package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/training"
)

type checkCommand struct {
	File   string `arg:"" optional:"" help:"The data: a CSV file, or a .dvc pointer to one; the parameters' by default."`
	Params string `placeholder:"FILE" help:"The parameters; params.yaml by default."`
	tableFlags

	JSON string `placeholder:"FILE" help:"Write the profile to a file too; - prints it and nothing else."`
}

// Help is shown by "trainer check --help".
func (*checkCommand) Help() string {
	return `Prints a profile of the data, and every fault with its line. Exit codes: 0 a training would take them, 2 it would not.`
}

// Run prints the profile.
func (c *checkCommand) Run(ctx context.Context, process *Process) error {
	a, err := newApp(process, "check", nil, true)
	if err != nil {
		return err
	}
	r := request{Params: c.Params, Data: c.File, tableFlags: c.tableFlags}
	req, err := r.load(process.Dir)
	if err != nil {
		return err
	}
	profile, err := a.trainer.Check(ctx, req)
	switch {
	case profile == nil:
		return err
	case c.JSON == "-":
		encoder := json.NewEncoder(process.Stdout)
		encoder.SetIndent("", "  ")
		return errors.Join(encoder.Encode(profile), err)
	case profile.Table != nil:
		printTable(process.Stdout, profile)
	default:
		printProfile(process.Stdout, profile)
	}
	if err != nil || c.JSON == "" {
		return err
	}
	return writeJSON(within(process.Dir, c.JSON), profile)
}

func printProfile(w io.Writer, p *training.Profile) {
	_, _ = fmt.Fprintf(w, "%s: %d rows, %d features, %d classes (MD5 %s)\n\n", p.Path, p.Rows, len(p.Features), len(p.Classes), p.MD5)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "FEATURE\tMISSING\tDISTINCT\tMIN\tMEDIAN\tMEAN\tSTD\tMAX")
	for _, f := range p.Features {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", settings.Printable(f.Name), f.Missing, f.Distinct,
			short(f.Min), short(f.Median), short(f.Mean), short(f.Std), short(f.Max))
	}
	_, _ = fmt.Fprintf(table, "\n%s\tROWS\tSHARE\n", p.Label)
	for _, c := range p.Classes {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%.1f %%\n", settings.Printable(c.Label), c.Rows, 100*float64(c.Rows)/float64(p.Rows))
	}
	_ = table.Flush() // a terminal that is gone needs no table
	printNotes(w, p)
}

func printNotes(w io.Writer, p *training.Profile) {
	for i, line := range p.Warnings() {
		if i == 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = fmt.Fprintln(w, "Note: "+line+".")
	}
}

// short is a figure to five digits.
func short(figure training.Figure) string {
	v := float64(figure)
	if math.IsNaN(v) {
		return "-"
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

type compareCommand struct {
	request

	A string `arg:"" help:"Number of the version in question, as trainer list shows it."`
	B string `arg:"" help:"Number of the version to hold it against."`
}

// Help is shown by "trainer compare --help".
func (*compareCommand) Help() string {
	return `Puts both to those hold-out rows of the data that neither was trained on, as the gate does. Nothing is moved.`
}

// Run prints the comparison.
func (c *compareCommand) Run(ctx context.Context, process *Process) error {
	a, err := newApp(process, "compare", nil, true)
	if err != nil {
		return err
	}
	req, err := c.load(process.Dir)
	if err != nil {
		return err
	}
	found, err := a.trainer.Compare(ctx, req, c.A, c.B)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(process.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VERSION\tACCURACY\tLOG-LOSS\tALONE RIGHT")
	_, _ = fmt.Fprintf(table, "%s\t%.4f\t%.4f\t%d\n", c.A, found.Challenger.Accuracy, found.Challenger.LogLoss, found.OnlyChallengerRight)
	_, _ = fmt.Fprintf(table, "%s\t%.4f\t%.4f\t%d\n", c.B, found.Champion.Accuracy, found.Champion.LogLoss, found.OnlyChampionRight)
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(process.Stdout, "%d rows. Log-loss of %s less that of %s: %+.4f, 95 %% interval %+.4f to %+.4f. McNemar p = %.3f.\n",
		found.Rows, c.A, c.B, found.Difference, found.Low, found.High, found.McNemar)
	return err
}
