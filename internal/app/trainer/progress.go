package trainer

import (
	"fmt"
	"io"

	"github.com/schollz/progressbar/v3"

	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/training"
)

// progressBar shows the steps of a training where w is a terminal; elsewhere the
// log does. done clears the bar.
func progressBar(w io.Writer) (progress func(training.Progress), done func()) {
	if !settings.IsTerminal(w) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(-1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)
	progress = func(p training.Progress) {
		what := p.Step
		if p.Iteration > 0 {
			what = fmt.Sprintf("%s, iteration %d", p.Step, p.Iteration)
		}
		bar.ChangeMax(p.Total)
		bar.Describe(what)
		_ = bar.Set(p.Done)
	}
	return progress, func() { _ = bar.Clear() }
}
