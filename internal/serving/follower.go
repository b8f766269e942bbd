// Package serving holds the model that answers requests.
//
// A [Follower] watches an alias in a registry. When the alias points at another
// version it downloads the model, checks it against the digest in the version's
// tags, has it tried, compiles it, warms it, keeps a copy on disk and swaps it in
// with one atomic store: requests under way finish on the model they began with. A
// version that cannot be used, or a registry that cannot be reached, leaves the
// last good model serving. A load goes on beside the watch: when the alias moves on
// meanwhile, the load is given up. The copy on disk lets a process start, and serve
// at once, while the registry is down.
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
	"github.com/petal-ml/petal/internal/model/trial"
	"github.com/petal-ml/petal/internal/poll"
	"github.com/petal-ml/petal/internal/registry"
)

// Bounds on how long a [Follower] waits.
const (
	resolveTimeout = 15 * time.Second
	fetchTimeout   = 5 * time.Minute
	// firstInterval is how often the registry is asked while nothing serves yet.
	firstInterval = time.Second
	// maxPause bounds how long a version that cannot be served is left alone, which is
	// longer after each time that it was tried.
	maxPause = time.Hour
	// stopTimeout is how long the end of the watch waits for a load that was given up.
	stopTimeout = 5 * time.Second
)

// Config says what a [Follower] follows.
type Config struct {
	Name, Alias  string
	PollInterval time.Duration
	// CacheDir is where the last good model is kept; it is made when needed.
	CacheDir string
	// Opener opens the models, and bounds them.
	Opener *trial.Opener
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
	loading  *load // nil where no load is under way
	refused  refusal
	previous string
}

// A load makes a version a model, beside the watch.
type load struct {
	id     identity
	cancel context.CancelFunc
	result chan loaded // takes one
}

// A loaded is what became of a load.
type loaded struct {
	model *Live
	copy  manifest // of the copy on disk; it counts once the model serves
	took  time.Duration
	err   error
}

// A refusal is the version that could not be served when it was tried last.
type refusal struct {
	id    identity
	times int // one after the other
	until time.Time
	err   error
}

// New returns a follower that serves nothing until [Follower.Restore] or
// [Follower.Run] finds a model.
func New(reader registry.Reader, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Follower, error) {
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("register metrics of serving: %w", err)
	}
	return &Follower{
		cfg:     cfg,
		reader:  reader,
		log:     log.With(slog.String("model", cfg.Name), slog.String("alias", cfg.Alias)),
		metrics: m,
		cache:   cache{dir: cfg.CacheDir, maxSize: cfg.Opener.MaxFile()},
		ready:   make(chan struct{}),
	}, nil
}

// Current returns the model that serves now, or nil where there is none yet.
// Whoever holds it may go on using it after the next swap.
func (f *Follower) Current() *Live { return f.current.Load() }

// Ready is closed once a model serves.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// Restore serves the last good model from the disk, before [Follower.Run]. It asks no
// registry. Having none is no error; one that is damaged, or that this process has no
// memory for, is logged and left to be fetched anew.
func (f *Follower) Restore(ctx context.Context) {
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
		m, err = Load(ctx, f.cfg.Opener, b)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.log.Warn("the model kept on disk cannot be used; it will be fetched anew",
			slog.String("dir", f.cfg.CacheDir), slog.Any("error", err))
	default:
		f.swap(m, time.Since(start), "disk")
	}
}

// Run follows the alias until ctx ends. Its failures are states, logged once
// each and shown in the metrics; none of them ends it.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil {
		f.poll(ctx)
		f.wait(ctx)
	}
	if f.loading == nil {
		return
	}
	f.loading.cancel()
	select {
	case l := <-f.loading.result:
		f.cache.drop(l.copy)
	case <-time.After(stopTimeout): // it ends with the process
	}
}

// wait lets the time to the next poll pass, and takes over what was loaded meanwhile.
func (f *Follower) wait(ctx context.Context) {
	interval := f.cfg.PollInterval
	if f.Current() == nil {
		interval = min(interval, firstInterval)
	}
	next := time.After(poll.Jitter(interval))
	for {
		var result chan loaded
		if f.loading != nil {
			result = f.loading.result
		}
		select {
		case <-ctx.Done():
			return
		case <-next:
			return
		case l := <-result:
			if again := f.finish(l); again {
				return
			}
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
		f.enter(state{kind: kindOf(err)}, err)
		return
	}
	f.metrics.registry(true)
	id := identify(v)
	m := f.Current()
	switch {
	case m != nil && identify(m.version) == id:
		f.giveUp()
		f.refused = refusal{}
		f.enter(state{kind: stateFollowing, version: id}, nil)
	case f.loading != nil && f.loading.id == id:
	case f.loading != nil:
		f.giveUp() // the next poll comes as soon as it has ended
	case f.refused.id == id && time.Now().Before(f.refused.until):
		f.enter(state{kind: stateRefused, version: id}, f.refused.err)
	default:
		f.begin(ctx, v)
	}
}

// giveUp ends a load whose version nobody wants any more.
func (f *Follower) giveUp() {
	if f.loading != nil {
		f.loading.cancel()
		f.loading.id = identity{}
	}
}

// begin starts to load a version.
func (f *Follower) begin(ctx context.Context, v registry.Version) {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{id: identify(v), cancel: cancel, result: make(chan loaded, 1)}
	f.loading = l
	go func() {
		defer cancel()
		start := time.Now()
		var done loaded
		defer func() {
			if fault := recover(); fault != nil { // what came from the registry is anybody's
				done = loaded{err: fmt.Errorf("the version makes this program fail: %v", fault)}
			}
			done.took = time.Since(start)
			l.result <- done
		}()
		done.model, done.copy, done.err = f.load(ctx, v)
	}()
}

// finish takes over what a load made. It says whether the alias has to be asked for
// again at once, since it moved meanwhile.
func (f *Follower) finish(l loaded) (again bool) {
	id := f.loading.id
	f.loading = nil
	switch {
	case id == identity{}: // given up
		f.cache.drop(l.copy)
		return true
	case l.err != nil:
		f.metrics.reloads.WithLabelValues("failure").Inc()
		f.refuse(id, l.err)
	default:
		if err := f.cache.adopt(l.copy); err != nil {
			f.warnNoCopy(l.model.version, err)
		}
		f.swap(l.model, l.took, "registry")
		f.refused = refusal{}
		f.enter(state{kind: stateFollowing, version: id}, nil)
	}
	return false
}

// refuse leaves a version alone for a while: for no poll, for one, for three, for
// seven and so on.
func (f *Follower) refuse(id identity, err error) {
	if f.refused.id != id {
		f.refused = refusal{id: id}
	}
	pause := maxPause
	if polls := time.Duration(1)<<min(f.refused.times, 30) - 1; polls <= maxPause/max(f.cfg.PollInterval, 1) {
		pause = polls * f.cfg.PollInterval
	}
	f.refused.times++
	f.refused.until, f.refused.err = time.Now().Add(pause), err
	f.enter(state{kind: stateRefused, version: id}, err)
}

func (f *Follower) resolve(ctx context.Context) (registry.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	return f.reader.Resolve(ctx, f.cfg.Name, f.cfg.Alias)
}

// load fetches a version, makes it a model and puts a copy of it on disk.
func (f *Follower) load(ctx context.Context, v registry.Version) (*Live, manifest, error) {
	files, err := f.fetch(ctx, v)
	if err != nil {
		return nil, manifest{}, err
	}
	b := Bundle{Version: v, Alias: f.cfg.Alias, Files: files}
	m, err := Load(ctx, f.cfg.Opener, b)
	if err != nil {
		return nil, manifest{}, err
	}
	kept, err := f.cache.write(b)
	if err != nil {
		f.warnNoCopy(v, err)
	}
	return m, kept, nil
}

func (f *Follower) fetch(ctx context.Context, v registry.Version) (model.Files, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	files, err := registry.Fetch(ctx, f.reader, v, f.cfg.Opener.MaxFile())
	return model.Files(files), err
}

func (f *Follower) warnNoCopy(v registry.Version, err error) {
	f.log.Warn("the model serves, but no copy of it could be kept for a start without the registry",
		slog.String("version", v.Number), slog.Any("error", err))
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

// kindOf tells a registry that is away from one that has no such alias.
func kindOf(err error) stateKind {
	if errors.Is(err, registry.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return stateUnavailable
	}
	return stateMissing
}

// enter notes the state, and logs it where it is a new one.
func (f *Follower) enter(s state, err error) {
	f.metrics.registry(s.kind != stateUnavailable)
	before := f.state
	f.state = s
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
