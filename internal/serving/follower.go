// Package serving holds the model that answers requests.
//
// A [Follower] watches an alias in a registry. When the alias points at another
// version it downloads the model, checks it against the digest in the version's
// tags, compiles it, warms it, keeps a copy on disk and swaps it in with one
// atomic store: requests under way finish on the model they began with. A
// version that cannot be used, or a registry that cannot be reached, leaves the
// last good model serving. The copy on disk lets a process start, and serve at
// once, while the registry is down.
package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/poll"
	"github.com/petal-ml/petal/internal/registry"
)

// Bounds on how long a [Follower] waits.
const (
	resolveTimeout = 15 * time.Second
	fetchTimeout   = 5 * time.Minute
	// firstInterval is how often the registry is asked while nothing serves yet.
	firstInterval = time.Second
	// maxRefusals bounds how often a version that cannot be served is tried
	// again: after 1, 2, 4, … polls, up to 2 to the power of this.
	maxRefusals = 5
)

// Config says what a [Follower] follows.
type Config struct {
	Name, Alias  string
	PollInterval time.Duration
	// CacheDir is where the last good model is kept; it is made when needed.
	CacheDir string
	// MaxModelSize bounds the ONNX file, in bytes; 256 MiB where it is zero.
	MaxModelSize int64
}

// A Follower keeps the model that an alias points at ready to serve.
type Follower struct {
	cfg     Config
	reader  registry.Reader
	log     *slog.Logger
	metrics *metrics
	cache   cache

	current atomic.Pointer[Live]
	ready   chan struct{} // closed when the first model serves

	// What follows belongs to the goroutine of Run, and to Restore before it.
	state    state
	refusals int // of the version in state, one after the other
	skip     int // polls to let pass before that version is tried again
	previous string
}

// New returns a follower that serves nothing until [Follower.Restore] or
// [Follower.Run] finds a model.
func New(reader registry.Reader, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Follower, error) {
	if cfg.MaxModelSize <= 0 {
		cfg.MaxModelSize = registry.DefaultMaxModelSize
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("register metrics of serving: %w", err)
	}
	return &Follower{
		cfg:     cfg,
		reader:  reader,
		log:     log.With(slog.String("model", cfg.Name), slog.String("alias", cfg.Alias)),
		metrics: m,
		cache:   cache{dir: cfg.CacheDir, maxSize: cfg.MaxModelSize},
		ready:   make(chan struct{}),
	}, nil
}

// Current returns the model that serves now, or nil where there is none yet.
// Whoever holds it may go on using it after the next swap.
func (f *Follower) Current() *Live { return f.current.Load() }

// Ready is closed once a model serves.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// Restore serves the last good model from the disk. It asks no registry. Having
// none is no error; one that is damaged is logged and left to be fetched anew.
func (f *Follower) Restore() {
	start := time.Now()
	b, err := f.cache.load()
	switch {
	case errors.Is(err, errNoCopy):
		return
	case err == nil && (b.Version.Name != f.cfg.Name || b.Alias != f.cfg.Alias):
		f.log.Info("the model kept on disk is of another name or alias; not used",
			slog.String("kept", b.Version.Name+"@"+b.Alias))
		return
	}
	var m *Live
	if err == nil {
		m, err = Load(b)
	}
	if err != nil {
		f.log.Warn("the model kept on disk is damaged and not used; it will be fetched anew",
			slog.String("dir", f.cfg.CacheDir), slog.Any("error", err))
		return
	}
	f.swap(m, time.Since(start), "disk")
}

// Run follows the alias until ctx ends. Its failures are states, logged once
// each and shown in the metrics; none of them ends it.
func (f *Follower) Run(ctx context.Context) {
	for {
		f.poll(ctx)
		interval := f.cfg.PollInterval
		if f.Current() == nil {
			interval = min(interval, firstInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(poll.Jitter(interval)):
		}
	}
}

// poll looks at the alias once and follows it.
func (f *Follower) poll(ctx context.Context) {
	v, err := f.resolve(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.enter(state{kind: kindOf(err, stateMissing)}, err)
		return
	}
	id := identify(v)
	if m := f.Current(); m != nil && identify(m.version) == id {
		f.enter(state{kind: stateFollowing, version: id}, nil)
		return
	}
	if f.state == (state{kind: stateRefused, version: id}) && f.skip > 0 {
		f.skip--
		return
	}
	start := time.Now()
	m, err := f.load(ctx, v)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.metrics.reloads.WithLabelValues("failure").Inc()
		f.enter(state{kind: kindOf(err, stateRefused), version: id}, err)
		return
	}
	f.swap(m, time.Since(start), "registry")
	f.enter(state{kind: stateFollowing, version: id}, nil)
}

func (f *Follower) resolve(ctx context.Context) (registry.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	return f.reader.Resolve(ctx, f.cfg.Name, f.cfg.Alias)
}

// load fetches a version, makes it a model and keeps a copy of it.
func (f *Follower) load(ctx context.Context, v registry.Version) (*Live, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	files, err := registry.Fetch(ctx, f.reader, v, f.cfg.MaxModelSize)
	if err != nil {
		return nil, err
	}
	b := Bundle{Version: v, Alias: f.cfg.Alias, Files: model.Files(files)}
	m, err := Load(b)
	if err != nil {
		return nil, err
	}
	if err := f.cache.store(b); err != nil {
		f.log.Warn("the model serves, but no copy of it could be kept for a start without the registry",
			slog.String("version", v.Number), slog.Any("error", err))
	}
	return m, nil
}

// swap makes m the model that serves.
func (f *Follower) swap(m *Live, took time.Duration, from string) {
	m.counters = f.metrics.counters(m)
	before := f.current.Swap(m)
	retired := f.previous
	if before == nil {
		close(f.ready)
	} else {
		f.previous = before.info.Version
	}
	if retired == m.info.Version || retired == f.previous {
		retired = ""
	}
	f.metrics.reloads.WithLabelValues("success").Inc()
	f.metrics.swapped(m, before, took, retired)
	f.log.Info("model serves", slog.String("version", m.info.Version), slog.String("sha256", m.info.SHA256),
		slog.String("from", from), slog.Float64("seconds", took.Seconds()), slog.Bool("audit", true))
}

// A state is how the watch stands. One log line is written when it changes, not
// at every poll.
type state struct {
	kind    stateKind
	version identity // what the alias points at; zero where that is not known
}

type stateKind int

const (
	stateStart       stateKind = iota
	stateFollowing             // the alias is served
	stateUnavailable           // the registry cannot be reached
	stateMissing               // the registry has no such model or alias
	stateRefused               // the version cannot be served
)

// kindOf tells a registry that is away from other failures.
func kindOf(err error, other stateKind) stateKind {
	if errors.Is(err, registry.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return stateUnavailable
	}
	return other
}

// enter notes the state, and logs it where it is a new one.
func (f *Follower) enter(s state, err error) {
	f.metrics.registry(s.kind != stateUnavailable)
	before := f.state
	f.state = s
	if s.kind == stateRefused {
		if s != before {
			f.refusals = 0
		}
		f.skip = 1<<f.refusals - 1
		f.refusals = min(f.refusals+1, maxRefusals)
	}
	switch s.kind {
	case stateMissing, stateRefused:
		f.metrics.reloadFailing.Set(1)
	case stateFollowing:
		f.metrics.reloadFailing.Set(0)
	}
	if s == before || s.kind == before.kind && s.kind != stateRefused {
		return
	}
	serving := slog.String("serving", "none")
	if m := f.Current(); m != nil {
		serving = slog.String("serving", m.info.Version)
	}
	switch s.kind {
	case stateUnavailable:
		f.log.Warn("the registry is unavailable", serving, slog.Any("error", err))
	case stateMissing:
		f.log.Warn("the alias cannot be resolved", serving, slog.Any("error", err))
	case stateRefused:
		f.log.Error("the version under this alias cannot be served", serving,
			slog.String("version", s.version.number), slog.Any("error", err))
	case stateFollowing:
		if before.kind != stateStart {
			f.log.Info("following the registry again", serving)
		}
	}
}

// An identity tells versions apart. The digest is part of it because a registry
// directory that was removed and made anew counts from 1 again.
type identity struct{ number, source, sha256 string }

func identify(v registry.Version) identity {
	return identity{v.Number, v.Source, v.Tags[registry.TagSHA256]}
}
