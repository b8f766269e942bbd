package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/scoring"
	"github.com/petal-ml/petal/internal/settings"
)

type modelCheckCommand struct {
	Model string `arg:"" name:"model" help:"${model_argument}"`
}

// Run prints what is in a model. A model that cannot be served is a failure.
func (c *modelCheckCommand) Run(ctx context.Context, p *Process) error {
	p.LimitMemory(slog.New(slog.DiscardHandler))
	files, err := modelFiles(ctx, p, c.Model)
	if err != nil {
		return err
	}
	report, err := scoring.Check(ctx, p.Opener(), files)
	if err != nil {
		return fmt.Errorf("check %s: %w", c.Model, err)
	}
	if err := writeReport(p.Stdout, &report); err != nil {
		return err
	}
	switch {
	case len(report.Missing) > 0:
		return fmt.Errorf("%s cannot be served: Petal lacks %s", c.Model, strings.Join(report.Missing, ", "))
	case report.Refusal != nil:
		return fmt.Errorf("%s cannot be served: %w", c.Model, report.Refusal)
	case report.Example.Err != nil:
		return fmt.Errorf("%s: %w", c.Model, report.Example.Err)
	}
	return nil
}

func writeReport(w io.Writer, r *scoring.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		// A file from anywhere must not write on the terminal as it likes.
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, settings.Printable(fmt.Sprintf(format, args...))) // Flush tells
	}
	line("file", "%d bytes, %d nodes, IR %d, %s%s", r.Bytes, r.Nodes, r.IRVersion, opsets(r.Opsets), producer(r.Producer))
	line("operators", "%s", operators(r.Operators))
	if len(r.Missing) > 0 {
		line("missing", "%s", strings.Join(r.Missing, ", "))
		return t.Flush()
	}
	line("missing", "none")
	line("inputs", "%s", values(r.Inputs))
	line("outputs", "%s", values(r.Outputs))
	if r.Refusal != nil {
		line("served", "no: %v", r.Refusal)
		return t.Flush()
	}
	names := make([]string, len(r.Features))
	for i, f := range r.Features {
		names[i] = f.Name
	}
	line("features", "%d: %s", len(names), brief(names))
	if r.Classes.Len() == 0 {
		line("predicts", "a value")
	} else {
		classes := make([]string, r.Classes.Len())
		for i := range classes {
			classes[i] = r.Classes.Text(i)
		}
		line("predicts", "%d classes: %s", len(classes), brief(classes))
	}
	if r.Fast {
		line("fast path", "yes: %s", strings.TrimPrefix(r.Why, "fast path: "))
	} else {
		line("fast path", "no: %s", r.Why)
	}
	if r.PerRow > 0 {
		line("speed here", "%s a row, %s for %d rows", short(r.PerRow), short(r.PerBatch), scoring.BatchRows)
	} else {
		line("speed here", "not measured: the model takes text")
	}
	line("input example", "%s", example(r))
	return t.Flush()
}

func example(r *scoring.Report) string {
	switch {
	case r.Example.Err != nil:
		return "does not agree: " + r.Example.Err.Error()
	case r.Example.Rows == 0:
		return "none is stored"
	case r.Fast:
		return fmt.Sprintf("%d rows fit the model; the fast path and the plain evaluation agree", r.Example.Rows)
	default:
		return fmt.Sprintf("%d rows fit the model", r.Example.Rows)
	}
}

func opsets(list []onnx.Opset) string {
	texts := make([]string, len(list))
	for i, o := range list {
		domain := o.Domain
		if domain == "" {
			domain = "ai.onnx"
		}
		texts[i] = fmt.Sprintf("%s %d", domain, o.Version)
	}
	return strings.Join(texts, ", ")
}

func producer(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(", made by %.40q", name)
}

func operators(list []eval.OperatorCount) string {
	texts := make([]string, len(list))
	for i, o := range list {
		texts[i] = o.Name
		if o.Count > 1 {
			texts[i] = fmt.Sprintf("%s (%d times)", o.Name, o.Count)
		}
	}
	return strings.Join(texts, ", ")
}

func values(list []onnx.ValueInfo) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.Name + " " + v.Type.String()
	}
	return brief(texts)
}

// Bounds on a line: how many names it holds, and how long each may be.
const (
	maxNames = 12
	maxName  = 80
)

func brief(names []string) string {
	shown := make([]string, min(len(names), maxNames))
	for i := range shown {
		shown[i] = fmt.Sprintf("%.*s", maxName, names[i])
	}
	if len(names) > maxNames {
		shown = append(shown, fmt.Sprintf("… and %d more", len(names)-maxNames))
	}
	return strings.Join(shown, ", ")
}

// short rounds to three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
