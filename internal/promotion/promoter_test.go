package promotion_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

const split = "the last rows"

// bench is a promoter over a directory registry of its own, with others who move the
// same aliases.
type bench struct {
	*promotion.Promoter
	store *directory.Store
	log   *testenv.Buffer
	// meanwhile is called before each move of the champion.
	meanwhile func()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	store, err := directory.Open(directory.Options{Root: filepath.Join(t.TempDir(), "registry"), Experiment: "test"})
	require.NoError(t, err)
	b := &bench{store: store, log: &testenv.Buffer{}}
	b.Promoter = &promotion.Promoter{
		Registry: crowded{store, b}, Model: "iris", Source: "test", User: "tester",
		Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	}
	return b
}

// crowded is a registry that others use between any two calls.
type crowded struct {
	registry.Registry
	b *bench
}

func (c crowded) MoveAlias(ctx context.Context, m registry.Move) error {
	if c.b.meanwhile != nil && m.Alias == promotion.Champion {
		c.b.meanwhile()
	}
	return c.Registry.MoveAlias(ctx, m)
}

// register makes versions of the class that they answer, -1 for a good one, the last
// of which is the champion.
func (b *bench) register(t *testing.T, classes ...int) {
	t.Helper()
	for _, class := range classes {
		dir := servingtest.Iris(t)
		if class >= 0 {
			dir = servingtest.Constant(t, class)
		}
		tags := servingtest.Tags(dir)
		tags[promotion.TagSplit] = split
		servingtest.Promote(t, b.store, dir, tags)
	}
}

// point is the move of somebody else, "" for no version.
func (b *bench) point(t *testing.T, alias, number string) {
	t.Helper()
	if number == "" {
		v, err := b.store.Resolve(t.Context(), "iris", alias)
		require.NoError(t, err)
		require.NoError(t, b.store.MoveAlias(t.Context(), registry.Move{Name: "iris", Alias: alias, From: v.Number}))
		return
	}
	require.NoError(t, b.store.SetAlias(t.Context(), "iris", alias, number))
}

func (b *bench) aliases(t *testing.T) map[string]string {
	t.Helper()
	list, err := b.List(t.Context())
	require.NoError(t, err)
	found := map[string]string{}
	for _, v := range list {
		for _, alias := range v.Aliases {
			found[alias] = v.Number
		}
	}
	return found
}

func requireInput(t *testing.T, where string, err error) {
	t.Helper()
	var fault *promotion.InputError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, where, fault.Where)
}

func TestPromoteAndRollback(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	require.Empty(t, b.aliases(t))
	_, _, err := b.Rollback(ctx)
	requireInput(t, "model iris", err)
	messages := golden.New(t)
	messages.Add("roll back to nothing", err)

	b.register(t, -1, -1, -1)
	b.point(t, promotion.Previous, "2")
	b.point(t, promotion.Challenger, "1")
	v, moved, err := b.Promote(ctx, "1")
	require.NoError(t, err)
	assert.True(t, moved)
	assert.Equal(t, "1", v.Number)
	assert.Equal(t, map[string]string{promotion.Champion: "1", promotion.Previous: "3"}, b.aliases(t), "it is no challenger any more")
	champion, err := b.Champion(ctx)
	require.NoError(t, err)
	assert.Equal(t, "tester by test", champion.Tags["petal.promoted_by"])

	_, moved, err = b.Promote(ctx, "1")
	require.NoError(t, err)
	assert.False(t, moved, "it is the champion already")

	for i, want := range []string{"3", "1"} {
		v, moved, err = b.Rollback(ctx)
		require.NoError(t, err)
		assert.True(t, moved)
		assert.Equal(t, want, v.Number)
		assert.Equal(t, map[string]string{promotion.Champion: want, promotion.Previous: []string{"1", "3"}[i]}, b.aliases(t))
	}
	for _, number := range []string{"4", "0", "one"} {
		_, _, err = b.Promote(ctx, number)
		requireInput(t, "version "+number, err)
		messages.Add("version "+number, err)
	}
}

func TestPromoteRefusesABrokenVersion(t *testing.T) {
	messages := golden.New(t)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		is    error // nil: a checksum that does not fit has no type
	}{
		"another byte": {func(t *testing.T, path string) {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			raw[len(raw)/2] ^= 1
			require.NoError(t, os.WriteFile(path, raw, 0o600))
		}, nil},
		"empty": {func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) }, nil},
		"gone":  {func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, registry.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.register(t, -1, -1)
			b.point(t, promotion.Previous, "1")
			first, err := b.store.Get(t.Context(), "iris", "1")
			require.NoError(t, err)
			c.spoil(t, filepath.Join(b.store.Root(), filepath.FromSlash(first.Source), registry.ModelFile))
			for way, move := range map[string]func() (registry.Version, bool, error){
				"": func() (registry.Version, bool, error) { return b.Promote(t.Context(), "1") }, ", by a rollback": func() (registry.Version, bool, error) { return b.Rollback(t.Context()) },
			} {
				_, _, err = move()
				require.Error(t, err)
				require.True(t, strings.HasPrefix(err.Error(), "promote version 1: "), "%v", err)
				var fault *promotion.InputError
				require.NotErrorAs(t, err, &fault)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				messages.Add(name+way, shorn(err, b.store.Root()))
			}
			assert.Equal(t, "2", b.aliases(t)[promotion.Champion])
		})
	}
}

// shorn is err without checksums, IDs, sizes and the folder, which differ from run to
// run.
func shorn(err error, dir string) error {
	text := strings.ReplaceAll(err.Error(), dir, "DIR")
	return errors.New(regexp.MustCompile(`[0-9a-f]{32,}|\d{3,}`).ReplaceAllString(text, "N"))
}

// holdout has rows of all three classes, and a candidate that is so sure of the right
// one.
func holdout(sure float64) (*promotion.Holdout, promotion.Candidate) {
	h := &promotion.Holdout{
		Features: []string{"sepal_length", "sepal_width", "petal_length", "petal_width"},
		Classes:  []string{"setosa", "versicolor", "virginica"},
		DataMD5:  "d41d8cd98f00b204e9800998ecf8427e", Split: split,
	}
	c := promotion.Candidate{LogLoss: -math.Log(sure), PriorLogLoss: math.Log(3)}
	for i := range 60 {
		class := i % 3
		h.X = append(h.X, [][]float64{servingtest.Setosa, servingtest.Versicolor, servingtest.Virginica}[class]...)
		h.Y = append(h.Y, class)
		for k := range 3 {
			p := (1 - sure) / 2
			if k == class {
				p = sure
			}
			c.Probabilities = append(c.Probabilities, p)
		}
	}
	return h, c
}

// An operator who moves the champion between the gate's look and the promotion is
// heard: the candidate is judged against the version of then.
func TestChampionChangedSinceTheGateLooked(t *testing.T) {
	const candidate = "4"
	for name, c := range map[string]struct {
		seen    string // the champion that the gate has compared with
		to      []string
		sure    float64
		promote bool
		is      error
		want    map[string]string
	}{
		"nobody":                {"3", nil, 0.999, true, nil, map[string]string{"champion": candidate, "previous": "3"}},
		"a rollback":            {"3", []string{"1"}, 0.999, true, nil, map[string]string{"champion": candidate, "previous": "1"}},
		"a better one by hand":  {"1", []string{"3"}, 0.5, false, nil, map[string]string{"champion": "3", "challenger": candidate}},
		"the first of all":      {"", []string{"3"}, 0.5, false, nil, map[string]string{"champion": "3", "challenger": candidate}},
		"the alias taken away":  {"3", []string{""}, 0.999, true, nil, map[string]string{"champion": candidate}},
		"the candidate by hand": {"3", []string{candidate}, 0.999, true, nil, map[string]string{"champion": candidate}},
		"there and back":        {"3", []string{"3"}, 0.999, true, nil, map[string]string{"champion": candidate, "previous": "3"}},
		"twice":                 {"3", []string{"1", "2"}, 0.999, true, nil, map[string]string{"champion": candidate, "previous": "2"}},
		"again and again":       {"3", []string{"1", "2", "1", "2"}, 0.999, false, registry.ErrChanged, map[string]string{"champion": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			ctx := t.Context()
			b.register(t, 0, 1, -1, -1)
			b.point(t, promotion.Champion, c.seen)
			h, judged := holdout(c.sure)
			champion, err := b.Champion(ctx)
			require.NoError(t, err)
			verdict, err := b.Judge(ctx, h, judged, champion)
			require.NoError(t, err)
			require.True(t, verdict.Promote)
			v, err := b.Version(ctx, candidate)
			require.NoError(t, err)

			moves := c.to
			b.meanwhile = func() {
				if len(moves) > 0 {
					b.point(t, promotion.Champion, moves[0])
					moves = moves[1:]
				}
			}
			verdict, champion, err = b.Settle(ctx, h, judged, v, verdict, champion)
			assert.Equal(t, c.want, b.aliases(t))
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
				golden.New(t).Add("given up", err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.promote, verdict.Promote, verdict)
			if !c.promote {
				assert.Equal(t, c.want["champion"], champion.Number)
			}
			now, err := b.Version(ctx, candidate)
			require.NoError(t, err)
			if strings.Contains(b.log.String(), "judged again") && name != "the candidate by hand" {
				assert.Equal(t, verdict.String(), now.Tags[promotion.TagVerdict])
			} else {
				assert.Contains(t, []string{"nobody", "there and back", "the candidate by hand"}, name)
			}
		})
	}
}

// A promotion by hand is meant whatever the champion is; a rollback is meant from
// what the operator has seen.
func TestChampionChangedDuringAMoveByHand(t *testing.T) {
	b := newBench(t)
	b.register(t, -1, -1, -1, -1)
	b.point(t, promotion.Previous, "3")
	once := func(number string) {
		b.meanwhile = func() {
			b.meanwhile = nil
			b.point(t, promotion.Champion, number)
		}
	}
	once("2")
	_, moved, err := b.Promote(t.Context(), "1")
	require.NoError(t, err)
	assert.True(t, moved)
	assert.Equal(t, map[string]string{"champion": "1", "previous": "2"}, b.aliases(t))

	once("4")
	_, moved, err = b.Rollback(t.Context())
	require.ErrorIs(t, err, registry.ErrChanged)
	golden.New(t).Add("rollback", err)
	assert.False(t, moved)
	assert.Equal(t, map[string]string{"champion": "4", "previous": "2"}, b.aliases(t))
}
