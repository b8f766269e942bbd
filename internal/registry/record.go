package registry

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/petal-ml/petal/internal/mlmodel"
)

// A Record is what a run has logged. Backends keep one of what they sent and
// hold it against what they read back.
type Record struct {
	Params   map[string]string
	Tags     map[string]string
	Metrics  map[string][]Point // by key, in no order
	Datasets []Dataset
	Models   []string         // IDs of logged models
	Files    map[string]int64 // sizes by path
}

// A Point is one value of a metric.
type Point struct {
	Step  int64
	Time  time.Time // counts to the millisecond, which is what MLflow keeps
	Value float64
}

// NewRecord returns a record without entries.
func NewRecord() Record {
	return Record{
		Params:  map[string]string{},
		Tags:    map[string]string{},
		Metrics: map[string][]Point{},
		Files:   map[string]int64{},
	}
}

// Missing compares what was sent with what was found, which may hold more. The
// error names the first difference with both values; it is [ErrUnavailable],
// since a registry that drops what it was given is at fault.
func (sent Record) Missing(found Record) error {
	checks := []func(Record) error{
		func(f Record) error { return missingPairs("param", sent.Params, f.Params) },
		func(f Record) error { return missingPairs("tag", sent.Tags, f.Tags) },
		sent.missingPoint, sent.missingDataset, sent.missingModel, sent.missingFile,
	}
	for _, check := range checks {
		if err := check(found); err != nil {
			return fmt.Errorf("%w: the registry does not hold what it was sent: %w", ErrUnavailable, err)
		}
	}
	return nil
}

func missingPairs(kind string, sent, found map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sent)) {
		value, ok := found[key]
		switch {
		case !ok:
			return fmt.Errorf("%s %q: sent %.100q, found nothing", kind, key, sent[key])
		case value != sent[key]:
			return fmt.Errorf("%s %q: sent %.100q, found %.100q", kind, key, sent[key], value)
		}
	}
	return nil
}

func (sent Record) missingPoint(found Record) error {
	for _, key := range slices.Sorted(maps.Keys(sent.Metrics)) {
		held := make(map[pointKey]bool, len(found.Metrics[key]))
		for _, p := range found.Metrics[key] {
			held[p.key()] = true
		}
		for _, p := range sent.Metrics[key] {
			if held[p.key()] {
				continue
			}
			other := "nothing"
			if points := found.Metrics[key]; len(points) > 0 {
				near := nearest(points, p)
				other = fmt.Sprintf("%v at step %d, %s", near.Value, near.Step, near.Time.UTC().Format(time.RFC3339Nano))
			}
			return fmt.Errorf("metric %q: sent %v at step %d, %s, found %s",
				key, p.Value, p.Step, p.Time.UTC().Format(time.RFC3339Nano), other)
		}
	}
	return nil
}

// A pointKey makes equal points equal under ==.
type pointKey struct {
	step, millis int64
	value        float64 // 0 for NaN, which differs from itself
	nan          bool
}

func (p Point) key() pointKey {
	k := pointKey{step: p.Step, millis: p.Time.UnixMilli(), value: p.Value}
	switch {
	case math.IsNaN(p.Value):
		k.value, k.nan = 0, true
	case math.IsInf(p.Value, 0):
		// MLflow gives the largest finite numbers for the infinities.
		k.value = math.Copysign(math.MaxFloat64, p.Value)
	}
	return k
}

// nearest picks the point to show beside one that is missing.
func nearest(points []Point, p Point) Point {
	for _, q := range points {
		if q.Step == p.Step {
			return q
		}
	}
	return points[0]
}

func (sent Record) missingDataset(found Record) error {
	for _, d := range sent.Datasets {
		i := slices.IndexFunc(found.Datasets, func(f Dataset) bool {
			return f.Name == d.Name && f.Digest == d.Digest && f.Context == d.Context
		})
		if i < 0 {
			return fmt.Errorf("data set %q with digest %s as %q: found nothing", d.Name, d.Digest, d.Context)
		}
		if f := found.Datasets[i]; f.Path != d.Path || f.Rows != d.Rows {
			return fmt.Errorf("data set %q: sent %q with %d rows, found %q with %d", d.Name, d.Path, d.Rows, f.Path, f.Rows)
		}
	}
	return nil
}

func (sent Record) missingModel(found Record) error {
	for _, id := range sent.Models {
		if !slices.Contains(found.Models, id) {
			return fmt.Errorf("model %s: found nothing", id)
		}
	}
	return nil
}

func (sent Record) missingFile(found Record) error {
	for _, path := range slices.Sorted(maps.Keys(sent.Files)) {
		size, ok := found.Files[path]
		switch {
		case !ok:
			return fmt.Errorf("file %q: sent %d bytes, found nothing", path, sent.Files[path])
		case size != sent.Files[path]:
			return fmt.Errorf("file %q: sent %d bytes, found %d", path, sent.Files[path], size)
		}
	}
	return nil
}

// MLflowTags are the tags that say in MLflow's own words where a run comes
// from, and the run's own.
func (s RunSpec) MLflowTags() map[string]string {
	tags := map[string]string{mlmodel.TagSourceType: "LOCAL"}
	for key, value := range map[string]string{
		mlmodel.TagUser:       s.User,
		mlmodel.TagSourceName: s.Source,
		mlmodel.TagGitCommit:  s.Commit,
		mlmodel.TagNote:       s.Description,
		mlmodel.TagParentRun:  s.ParentID,
	} {
		if value != "" {
			tags[key] = value
		}
	}
	maps.Copy(tags, s.Tags)
	return tags
}

// Invalid marks the error of a check as [ErrInvalid]; nil stays nil.
func Invalid(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// Check finds what no registry takes. Versions are left to the backend.
func (m Move) Check() error {
	err := cmp.Or(mlmodel.CheckModelName(m.Name), mlmodel.CheckAlias(m.Alias))
	if m.Keep != "" {
		err = cmp.Or(err, mlmodel.CheckAlias(m.Keep))
	}
	return Invalid(err)
}

// Changed is the [ErrChanged] of a move whose alias points elsewhere, "" for at
// nothing.
func (m Move) Changed(elsewhere string) error {
	shown := func(number string) string {
		if number == "" {
			return "nothing"
		}
		return "version " + number
	}
	return fmt.Errorf("alias %q of model %q %w: it points at %s, not at %s", m.Alias, m.Name, ErrChanged, shown(elsewhere), shown(m.From))
}

// LockName is the file name of the lock that keeps trainings of a model apart.
func LockName(model string) string {
	sum := sha256.Sum256([]byte(model)) // names of models hold what those of files cannot
	return "train-" + hex.EncodeToString(sum[:8]) + ".lock"
}

// AllTags are the registration's tags with those that Petal adds itself.
func (r Registration) AllTags() map[string]string {
	tags := maps.Clone(r.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	if r.Model.SHA256 != "" {
		tags[TagSHA256] = r.Model.SHA256
		tags[TagSize] = strconv.FormatInt(r.Model.Size, 10)
	}
	return tags
}
