package serving

import (
	"cmp"
	"context"
	"time"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/model/trial"
	"github.com/petal-ml/petal/internal/registry"
)

// A Bundle is a registered version with the files of its directory that serving
// needs.
type Bundle struct {
	Version registry.Version
	Alias   string // the alias that led here
	model.Files
}

// Info says what a model is and where it comes from.
type Info struct {
	Name, Version, Alias string
	LoadedAt             time.Time
	model.Info
}

// A Live model is the model of a registered version. Its predictions are counted
// once a [Follower] serves it.
type Live struct {
	*model.Model
	info     Info
	version  registry.Version
	counters counters
}

// Load opens the model of a bundle; see [trial.Opener.Open].
func Load(ctx context.Context, opener *trial.Opener, b Bundle) (*Live, error) {
	m, err := opener.Open(ctx, b.Files, model.Expect{SHA256: b.Version.Tags[registry.TagSHA256], Size: b.Version.Tags[registry.TagSize]})
	if err != nil {
		return nil, err
	}
	i := Info{Name: b.Version.Name, Version: b.Version.Number, Alias: b.Alias, LoadedAt: time.Now().UTC(), Info: *m.Info()}
	i.RunID = cmp.Or(b.Version.RunID, i.RunID)
	if i.TrainedAt.IsZero() {
		i.TrainedAt = b.Version.Created.UTC()
	}
	return &Live{Model: m, info: i, version: b.Version}, nil
}

// Info returns the facts about the model. The slices and maps in it are shared:
// they must not be changed.
func (l *Live) Info() *Info { return &l.info }

// Predict is [model.Model.Predict], counted.
func (l *Live) Predict(row []float64, scores []float32) (int, error) {
	class, err := l.Model.Predict(row, scores)
	if err == nil {
		l.counters.observe(class, scores[class])
	}
	return class, err
}

// PredictRows is [model.Model.PredictRows], counted.
func (l *Live) PredictRows(x []float32, classes []int, scores []float32) (int, error) {
	row, err := l.Model.PredictRows(x, classes, scores)
	return row, l.count(classes, scores, err)
}

// PredictTable is [model.Model.PredictTable], counted.
func (l *Live) PredictTable(t *model.Table, classes []int, scores []float32) (int, error) {
	row, err := l.Model.PredictTable(t, classes, scores)
	return row, l.count(classes, scores, err)
}

// count counts the answers for a batch that was predicted without an error.
func (l *Live) count(classes []int, scores []float32, err error) error {
	if err != nil {
		return err
	}
	for i, class := range classes {
		l.counters.observe(class, scores[i*l.NumScores()+class])
	}
	return nil
}
