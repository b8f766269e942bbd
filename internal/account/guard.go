package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Times of a [Guard].
const (
	// RefreshInterval is how soon a running program sees what another has
	// revoked, give or take the time of a query.
	RefreshInterval = time.Second
	// MaxStale is how long a program that cannot reach the database goes on with
	// what it knows; after that it lets nobody in.
	MaxStale = time.Minute

	// reloadInterval is how soon changes are seen that somebody made by hand in
	// the database.
	reloadInterval = 30 * time.Second
	// lookInterval bounds how often strangers can make the guard look at the
	// database, by showing keys that it does not know.
	lookInterval = 50 * time.Millisecond
	// queryTimeout bounds one look at the database.
	queryTimeout = 5 * time.Second
	// useResolution is how coarsely the use of a key is kept.
	useResolution = time.Hour
)

// ErrUnavailable means that nothing can be said: the database has not been
// reached for too long.
var ErrUnavailable = errors.New("the account database cannot be reached")

// Grants are all that decides whether what was issued still counts.
type Grants struct {
	// Generation grows with every change to the rest.
	Generation int64
	Users      map[string]Standing // by name
	Revoked    []string            // IDs of tokens that have not expired
	Keys       []Key
}

// A Standing is what a user's tokens are held against.
type Standing struct {
	Epoch    int64
	Disabled bool
}

// A GuardConfig is what a [Guard] needs. Zero durations and nil functions take
// their defaults.
type GuardConfig struct {
	Store    Store
	Log      *slog.Logger     // nil means none
	Now      func() time.Time // nil means time.Now
	Interval time.Duration    // 0 means RefreshInterval
	MaxStale time.Duration    // 0 means MaxStale
}

// A Guard tells whether what was issued still counts, without asking the
// database each time: it keeps all that could speak against it in memory, and
// looks every [RefreshInterval] whether that has changed. It is safe for
// concurrent use.
//
// What it has never heard of, such as a user made a moment ago by another
// process, it looks up at once: nobody waits for what is granted, only
// revocations take their second.
type Guard struct {
	cfg   GuardConfig
	known atomic.Pointer[knowledge]
	stale atomic.Bool

	// turn is held by who looks at the database, and guards what follows.
	turn    chan struct{}
	looked  time.Time // when the latest look began
	loaded  time.Time // when everything was last read
	outcome error     // of the latest look

	stop func()
	done chan struct{}
}

// knowledge is what a guard knows; it is never changed, only replaced.
type knowledge struct {
	generation int64
	users      map[string]Standing
	revoked    map[string]struct{}
	keys       map[string]*guardedKey
}

type guardedKey struct {
	Key
	use *keyUse
}

// keyUse outlives the knowledge that holds it.
type keyUse struct {
	seen    atomic.Int64 // microseconds since 1970
	written atomic.Int64 // the same, as the database has it
}

// StartGuard reads the database and keeps up with it until Close.
func StartGuard(ctx context.Context, cfg GuardConfig) (*Guard, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Interval <= 0 {
		cfg.Interval = RefreshInterval
	}
	if cfg.MaxStale <= 0 {
		cfg.MaxStale = MaxStale
	}
	g := &Guard{cfg: cfg, turn: make(chan struct{}, 1), done: make(chan struct{})}
	if err := g.look(ctx); err != nil {
		return nil, fmt.Errorf("read what is granted: %w", err)
	}
	// Close ends it, not the caller's context: requests under way are served to
	// their end.
	ctx, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	go g.run(ctx)
	return g, nil
}

// Close ends the watch and writes down which keys were used.
func (g *Guard) Close() error {
	g.stop()
	<-g.done
	return g.writeUse(context.Background())
}

// CheckToken tells whether a token of the user, epoch and ID still counts. The
// error is [ErrRevoked] or [ErrUnavailable]. On the way to success it allocates
// nothing.
func (g *Guard) CheckToken(ctx context.Context, user string, epoch int64, id string) error {
	if g.stale.Load() {
		return ErrUnavailable
	}
	known := g.known.Load()
	standing, ok := known.users[user]
	if !ok || epoch > standing.Epoch {
		// The token is genuine, so this knowledge is too old to judge it.
		if err := g.lookAgain(ctx); err != nil {
			return err
		}
		known = g.known.Load()
		standing, ok = known.users[user]
	}
	if !ok || standing.Disabled || standing.Epoch != epoch {
		return ErrRevoked
	}
	if _, revoked := known.revoked[id]; revoked {
		return ErrRevoked
	}
	return nil
}

// CheckKey returns the API key that the text is. The error is [ErrKey],
// [ErrKeyExpired], [ErrRevoked] or [ErrUnavailable]. The key is shared: the
// caller does not change it. On the way to success it allocates nothing.
func (g *Guard) CheckKey(ctx context.Context, text string) (*Key, error) {
	if g.stale.Load() {
		return nil, ErrUnavailable
	}
	id, secret, ok := splitKey(text)
	if !ok {
		return nil, ErrKey
	}
	k, ok := g.known.Load().keys[id]
	if !ok {
		if err := g.lookAgain(ctx); err != nil {
			return nil, err
		}
		if k, ok = g.known.Load().keys[id]; !ok {
			return nil, ErrKey
		}
	}
	now := g.cfg.Now()
	switch {
	case !k.isSecret(secret):
		return nil, ErrKey
	case !k.Revoked.IsZero():
		return nil, ErrRevoked
	case !now.Before(k.Expires):
		return nil, ErrKeyExpired
	}
	if hour := now.Truncate(useResolution).UnixMicro(); k.use.seen.Load() < hour {
		k.use.seen.Store(hour)
	}
	return &k.Key, nil
}

// Refresh looks at the database now: what this process has just revoked is over
// when it returns.
func (g *Guard) Refresh(ctx context.Context) error { return g.lookAgain(ctx) }

// run looks at the database until ctx ends.
func (g *Guard) run(ctx context.Context) {
	defer close(g.done)
	tick := time.NewTicker(g.cfg.Interval)
	defer tick.Stop()
	lastSuccess, failing := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		err := g.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing:
			failing = false
			g.stale.Store(false)
			g.cfg.Log.InfoContext(ctx, "the account database is back")
		case err != nil && !failing:
			failing = true
			g.cfg.Log.ErrorContext(ctx, "the account database cannot be reached; revocations are not seen", "error", err,
				"nobody_let_in_after", g.cfg.MaxStale)
		}
		if err == nil {
			lastSuccess = began
		} else if time.Since(lastSuccess) > g.cfg.MaxStale && !g.stale.Swap(true) {
			g.cfg.Log.ErrorContext(ctx, "the account database has been away for too long; nobody is let in", "error", err)
		}
	}
}

// refresh is one round of the watch.
func (g *Guard) refresh(ctx context.Context) error {
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := g.look(ctx)
	<-g.turn
	if err != nil {
		return err
	}
	if err := g.writeUse(ctx); err != nil { // a full disk keeps nobody out
		g.cfg.Log.WarnContext(ctx, "the last use of an API key is not kept", "error", err)
	}
	return nil
}

// lookAgain returns once a look at the database that began after the call has
// ended. All that call it at once share one look.
func (g *Guard) lookAgain(ctx context.Context) error {
	called := time.Now()
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.turn }()
	if !g.looked.After(called) {
		select {
		case <-time.After(lookInterval - time.Since(g.looked)):
		case <-ctx.Done():
			return ctx.Err()
		}
		// Others wait for the outcome: it does not depend on this one's patience.
		_ = g.look(context.WithoutCancel(ctx)) // kept as the outcome
	}
	if g.outcome != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, g.outcome)
	}
	return nil
}

// look reads what has changed. The caller has the turn.
func (g *Guard) look(ctx context.Context) error {
	g.looked = time.Now()
	g.outcome = g.read(ctx)
	return g.outcome
}

func (g *Guard) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	old := g.known.Load()
	if old != nil && time.Since(g.loaded) < reloadInterval {
		generation, err := g.cfg.Store.Generation(ctx)
		if err != nil || generation == old.generation {
			return err
		}
	}
	began := time.Now()
	grants, err := g.cfg.Store.Grants(ctx, g.cfg.Now())
	if err != nil {
		return err
	}
	known := learn(grants, old)
	if old != nil {
		g.audit(ctx, old, known)
	}
	g.known.Store(known)
	g.loaded = began
	return nil
}

// learn makes knowledge of what the database says.
func learn(grants Grants, old *knowledge) *knowledge {
	known := &knowledge{
		generation: grants.Generation, users: grants.Users,
		revoked: make(map[string]struct{}, len(grants.Revoked)), keys: make(map[string]*guardedKey, len(grants.Keys)),
	}
	for _, id := range grants.Revoked {
		known.revoked[id] = struct{}{}
	}
	for _, k := range grants.Keys {
		use := &keyUse{}
		if old != nil && old.keys[k.ID] != nil {
			use = old.keys[k.ID].use
		} else if !k.LastUsed.IsZero() {
			use.seen.Store(k.LastUsed.UnixMicro())
			use.written.Store(k.LastUsed.UnixMicro())
		}
		k.subject = k.Subject()
		known.keys[k.ID] = &guardedKey{k, use}
	}
	return known
}

// audit logs what somebody has changed, here or in another process: commands on
// the same database leave their trace in the log of the API.
func (g *Guard) audit(ctx context.Context, old, known *knowledge) {
	log := func(event string, attrs ...slog.Attr) {
		attrs = append(attrs, slog.Bool("audit", true), slog.Bool("observed", true))
		g.cfg.Log.LogAttrs(ctx, slog.LevelInfo, event, attrs...) //nolint:sloglint // the events are constants, a few lines below
	}
	for name, standing := range known.users {
		before, ok := old.users[name]
		switch {
		case !ok:
			log("user added", slog.String("user", name))
		case before.Disabled != standing.Disabled:
			log("user disabled or enabled", slog.String("user", name), slog.Bool("disabled", standing.Disabled))
		case before.Epoch != standing.Epoch:
			log("tokens of a user revoked", slog.String("user", name))
		}
	}
	for id := range known.revoked {
		if _, ok := old.revoked[id]; !ok {
			log("token revoked", slog.String("jti", id))
		}
	}
	for id, k := range known.keys {
		before, ok := old.keys[id]
		if !ok {
			log("API key added", slog.String("key", id), slog.String("name", k.Name), slog.Any("scopes", k.Scopes), slog.Time("expires", k.Expires))
		} else if before.Revoked.IsZero() && !k.Revoked.IsZero() {
			log("API key revoked", slog.String("key", id), slog.String("name", k.Name))
		}
	}
}

// writeUse writes down when keys were used, each once an hour at most. What
// fails is not tried again before the next hour.
func (g *Guard) writeUse(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var errs []error
	for id, k := range g.known.Load().keys {
		seen, written := k.use.seen.Load(), k.use.written.Load()
		if seen <= written {
			continue
		}
		k.use.written.Store(seen)
		if err := g.cfg.Store.UseKey(ctx, id, time.UnixMicro(seen).UTC()); err != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				k.use.written.Store(written) // Close has interrupted it, and writes it itself
			}
			errs = append(errs, fmt.Errorf("write the use of key %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}
