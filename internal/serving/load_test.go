package serving_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// poll is the interval of the tests here, which run on a clock of their own.
const poll = 10 * time.Second

// slowFixture follows with an interval of poll, version 1 serving.
func slowFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.interval = poll
	f.restart(t)
	dir := servingtest.Iris(t)
	servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
	return f
}

// promote registers the next version and points the alias at it.
func (f *fixture) promote(t *testing.T, class int) {
	t.Helper()
	dir := servingtest.Constant(t, class)
	servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
}

func (f *fixture) version() string {
	if m := f.follower.Current(); m != nil {
		return m.Info().Version
	}
	return ""
}

// hold has the files of a version be what do makes of them.
func (f *fixture) hold(number string, do func(context.Context) error) {
	hold := func(ctx context.Context, v registry.Version) error {
		if v.Number == number {
			return do(ctx)
		}
		return nil
	}
	f.reader.held.Store(&hold)
}

func forever(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A load that does not end holds nothing up: the alias is followed on, back and
// forward, within two polls.
func TestAliasMovesDuringALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slowFixture(t)
		defer f.run(t)()
		time.Sleep(poll)
		require.Equal(t, "1", f.version())

		f.hold("2", forever)
		f.promote(t, 1)
		time.Sleep(3 * poll)
		require.Equal(t, "1", f.version())
		asked := f.reader.opened.Load()

		f.promote(t, 2)
		time.Sleep(2 * poll)
		require.Equal(t, "3", f.version())

		require.NoError(t, f.store.SetAlias(t.Context(), "iris", "champion", "2"))
		time.Sleep(2 * poll)
		require.NoError(t, f.store.SetAlias(t.Context(), "iris", "champion", "3")) // a rollback to what serves
		time.Sleep(2 * poll)
		assert.Equal(t, "3", f.version())
		assert.Zero(t, f.metric(t, "model_reload_failing"))
		assert.InDelta(t, 1, f.metric(t, "registry_up"), 0)
		f.hold("", forever)
		require.NoError(t, f.store.SetAlias(t.Context(), "iris", "champion", "2"))
		time.Sleep(2 * poll)
		assert.Equal(t, "2", f.version(), "the load was given up, and left no trace")
		assert.Greater(t, f.reader.opened.Load(), asked)
	})
}

// A version that cannot be served is tried ever more rarely, and at once when
// something else was served meanwhile.
func TestBadVersionIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slowFixture(t)
		defer f.run(t)()
		time.Sleep(poll)
		var tries atomic.Int32 // loads run beside the test
		f.hold("2", func(context.Context) error { tries.Add(1); return registry.ErrUnavailable })
		f.promote(t, 1)
		time.Sleep(time.Hour)
		assert.GreaterOrEqual(t, tries.Load(), int32(5))
		assert.LessOrEqual(t, tries.Load(), int32(10), "of 360 polls")
		assert.InDelta(t, 1, f.metric(t, "model_reload_failing"), 0)
		assert.InDelta(t, 1, f.metric(t, "registry_up"), 0, "it answers: only these files are not there")
		assert.Equal(t, 1, strings.Count(f.log.String(), "cannot be served"), f.log)
		before := tries.Load()
		time.Sleep(24 * time.Hour)
		assert.GreaterOrEqual(t, tries.Load()-before, int32(20), "it is never given up")
		assert.LessOrEqual(t, tries.Load()-before, int32(30))

		require.NoError(t, f.store.SetAlias(t.Context(), "iris", "champion", "1"))
		time.Sleep(2 * poll)
		assert.Zero(t, f.metric(t, "model_reload_failing"))
		before = tries.Load()
		require.NoError(t, f.store.SetAlias(t.Context(), "iris", "champion", "2"))
		time.Sleep(2 * poll)
		assert.Greater(t, tries.Load(), before)
	})
}

// The watch ends with its context, whatever a load does: a process that is asked to
// stop during one ends in time.
func TestWatchEndsDuringALoad(t *testing.T) {
	for name, load := range map[string]func(context.Context) error{
		"one that hears": forever,
		"one that does not": func(context.Context) error {
			time.Sleep(time.Minute)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := slowFixture(t)
				f.hold("1", load)
				stop := f.run(t)
				time.Sleep(time.Second)
				start := time.Now()
				stop()
				assert.Less(t, time.Since(start), 10*time.Second)
				time.Sleep(time.Hour) // the load ends
				assert.Empty(t, f.version())
			})
		})
	}
}

// What comes from the registry is anybody's: a fault in reading it is a version that
// cannot be served.
func TestFaultsOfALoadAreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slowFixture(t)
		defer f.run(t)()
		time.Sleep(poll)
		f.hold("2", func(context.Context) error { panic("a fault") })
		f.promote(t, 1)
		time.Sleep(2 * poll)
		assert.Equal(t, "1", f.version())
		assert.InDelta(t, 1, f.metric(t, "model_reload_failing"), 0)
		assert.Contains(t, f.log.String(), "a fault")
	})
}
