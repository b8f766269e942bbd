package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/poll"
)

// Times of a [Guard].
const (
	// RefreshInterval is how soon a running program sees what another has
	// revoked, give or take the time of a query.
	RefreshInterval = time.Second
	// MaxStale is how long a program that cannot reach the database goes on with
	// what it knows; after that it lets nobody in.
	MaxStale = time.Minute

	// censusInterval is how soon changes are seen that somebody made by hand in
	// the database, or an earlier version of this program, so far as a [Census]
	// shows them. The others are seen after reloadInterval.
	censusInterval = 30 * time.Second
	reloadInterval = time.Hour
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

// Everything is the generation before all others.
const Everything int64 = -1

// Grants are what decides whether what was issued still counts: all of it, or
// what has changed.
type Grants struct {
	// Generation grows with every change to the rest.
	Generation int64
	Users      map[string]Standing  // by name
	Revoked    map[string]time.Time // IDs of tokens that have not expired, and until when they are revoked
	Keys       []Key
}

// A Census is a few sums over all that counts. They are the same where nothing
// was changed by hand, and cost the database little.
type Census struct {
	Users, Names, Epochs, Disabled int64 // Names is the sum of their lengths, in characters
	Revoked                        int64 // tokens that have not expired
	Keys, KeysRevoked, Expiry      int64 // Expiry is the sum of when they end, in seconds since 1970
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
	// Wait starts the guard even while the database is away. Until it is reached
	// nobody is let in.
	Wait bool
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
	counted time.Time // when everything was last counted
	reload  time.Duration
	census  time.Duration // after which it is read or counted again
	outcome error         // of the latest look

	stop func()
	done chan struct{}
}

// knowledge is what a guard knows; it is never changed, only replaced.
type knowledge struct {
	generation int64
	users      map[string]Standing
	revoked    map[string]time.Time // until when
	keys       map[string]*guardedKey
	used       map[string]*guardedKey // keys of before, for their use
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
		if !cfg.Wait {
			return nil, fmt.Errorf("read what is granted: %w", err)
		}
		g.known.Store(&knowledge{})
		g.stale.Store(true)
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
	lastSuccess, failing := time.Now(), g.stale.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(poll.Jitter(g.cfg.Interval)):
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

// read brings the knowledge up to date: by what has changed, or by everything
// where that is due.
func (g *Guard) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	old, began, now := g.known.Load(), time.Now(), g.cfg.Now()
	if old == nil || began.Sub(g.loaded) >= g.reload {
		return g.readAll(ctx, began, now)
	}
	generation, err := g.cfg.Store.Generation(ctx)
	if err != nil {
		return err
	}
	if generation != old.generation {
		changes, err := g.cfg.Store.Grants(ctx, old.generation, now)
		if err != nil {
			return err
		}
		if len(changes.Users)+len(changes.Revoked)+len(changes.Keys) == 0 { // an earlier version of this program notes no rows
			return g.readAll(ctx, began, now)
		}
		g.learn(ctx, old.with(changes, now))
	}
	if began.Sub(g.counted) < g.census {
		return nil
	}
	counted, err := g.cfg.Store.Census(ctx, now)
	if err != nil {
		return err
	}
	if counted != g.known.Load().census(now) { // somebody has changed what no generation tells of
		return g.readAll(ctx, began, now)
	}
	g.counted, g.census = began, poll.Jitter(censusInterval)
	return nil
}

func (g *Guard) readAll(ctx context.Context, began, now time.Time) error {
	grants, err := g.cfg.Store.Grants(ctx, Everything, now)
	if err != nil {
		return err
	}
	known := &knowledge{users: map[string]Standing{}, revoked: map[string]time.Time{}, keys: map[string]*guardedKey{}}
	if old := g.known.Load(); old != nil {
		known.used = old.keys
	}
	g.learn(ctx, known.with(grants, now))
	g.loaded, g.reload = began, poll.Jitter(reloadInterval)
	g.counted, g.census = began, poll.Jitter(censusInterval)
	return nil
}

// learn takes new knowledge over.
func (g *Guard) learn(ctx context.Context, known *knowledge) {
	if !g.loaded.IsZero() { // what was there at the start is no change
		g.audit(ctx, g.known.Load(), known)
	}
	g.known.Store(known)
}

// with is what is known once the changes are, too. Tokens that have expired by
// now are forgotten.
func (k *knowledge) with(changes Grants, now time.Time) *knowledge {
	known := &knowledge{
		generation: changes.Generation, users: maps.Clone(k.users), revoked: maps.Clone(k.revoked), keys: maps.Clone(k.keys),
	}
	maps.Copy(known.users, changes.Users)
	maps.Copy(known.revoked, changes.Revoked)
	maps.DeleteFunc(known.revoked, func(_ string, until time.Time) bool { return !until.After(now) })
	for _, changed := range changes.Keys {
		use := &keyUse{}
		if before := cmp.Or(k.keys[changed.ID], k.used[changed.ID]); before != nil {
			use = before.use
		} else if !changed.LastUsed.IsZero() {
			use.seen.Store(changed.LastUsed.UnixMicro())
			use.written.Store(changed.LastUsed.UnixMicro())
		}
		changed.subject = changed.Subject()
		known.keys[changed.ID] = &guardedKey{changed, use}
	}
	return known
}

// census counts what is known as the database counts what it has.
func (k *knowledge) census(now time.Time) Census {
	c := Census{Users: int64(len(k.users)), Keys: int64(len(k.keys))}
	for name, standing := range k.users {
		c.Names += int64(utf8.RuneCountInString(name))
		c.Epochs += standing.Epoch
		if standing.Disabled {
			c.Disabled++
		}
	}
	for _, until := range k.revoked {
		if until.After(now) {
			c.Revoked++
		}
	}
	for _, key := range k.keys {
		if !key.Revoked.IsZero() {
			c.KeysRevoked++
		}
		c.Expiry += key.Expires.Unix()
	}
	return c
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
