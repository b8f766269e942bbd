package trainer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/settings"
)

type listCommand struct{}

// Run prints a table of the versions.
func (listCommand) Run(ctx context.Context, process *Process) error {
	a, err := newApp(process, "list", nil, false)
	if err != nil {
		return err
	}
	versions, err := a.promoter.List(ctx)
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		_, err := fmt.Fprintf(process.Stdout, "There is no version of %s yet: trainer train makes the first.\n", a.settings.ModelName)
		return err
	}
	table := tabwriter.NewWriter(process.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VERSION\tALIAS\tCREATED\tESTIMATOR\tACCURACY\tLOG-LOSS\tRUN")
	for _, v := range versions {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			dash(v.Number), dash(strings.Join(v.Aliases, ", ")), v.Created.UTC().Format(time.DateTime),
			dash(v.Tags[promotion.TagEstimator]), figure(v.Tags[promotion.TagTestAccuracy]), figure(v.Tags[promotion.TagTestLogLoss]), dash(v.RunID))
	}
	return table.Flush()
}

// maxCell bounds a cell of the table: tags are as long as their writer likes.
const maxCell = 80

// dash is what a cell shows of a text of the registry.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return settings.Printable(fmt.Sprintf("%.*s", maxCell, s))
}

// figure shortens a figure to four decimals.
func figure(s string) string {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return "-"
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

type promoteCommand struct {
	Version string `arg:"" help:"Number of the version, as trainer list shows it."`
}

// Run moves the champion to a version.
func (c *promoteCommand) Run(ctx context.Context, process *Process) error {
	a, err := newApp(process, "promote", nil, false)
	if err != nil {
		return err
	}
	v, moved, err := a.promoter.Promote(ctx, c.Version)
	if err != nil {
		return err
	}
	return a.printMove(v, moved)
}

type rollbackCommand struct{}

// Run moves the champion to the version before.
func (rollbackCommand) Run(ctx context.Context, process *Process) error {
	a, err := newApp(process, "rollback", nil, false)
	if err != nil {
		return err
	}
	v, moved, err := a.promoter.Rollback(ctx)
	if err != nil {
		return err
	}
	return a.printMove(v, moved)
}

func (a *app) printMove(v registry.Version, moved bool) error {
	state := "is now the champion"
	if !moved {
		state = "is the champion already"
	}
	_, err := fmt.Fprintf(a.process.Stdout, "%s version %s %s.\n", a.settings.ModelName, dash(v.Number), state)
	return err
}
