package predict

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/access"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/rows"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

type holder struct{ atomic.Pointer[serving.Live] }

func (h *holder) Current() *serving.Live { return h.Load() }

type bearers map[string]access.Principal

func (b bearers) Authenticate(_ context.Context, bearer string) (access.Principal, error) {
	if p, known := b[bearer]; known {
		return p, nil
	}
	return access.Principal{}, access.ErrInvalid
}

func newService(t *testing.T, limit int64) (*Service, *holder) {
	t.Helper()
	models := &holder{}
	s, err := New(Config{
		Models: models, Metrics: prometheus.NewRegistry(), MemoryLimit: limit,
		Bearers: bearers{"good": {Name: "ada", Scopes: []string{"predict"}}},
	})
	require.NoError(t, err)
	return s, models
}

func open(t *testing.T, dir mlmodel.Dir) *serving.Live {
	t.Helper()
	files, err := dir.Files(mlmodel.IDs{ModelID: "m-1", RunID: "run-1"})
	require.NoError(t, err)
	live, err := serving.Load(t.Context(), nil, serving.Bundle{
		Version: registry.Version{Name: "iris", Number: "3"}, Files: model.Files{MLmodel: files["MLmodel"], ONNX: files["model.onnx"]},
	})
	require.NoError(t, err)
	return live
}

// fill leaves no room for more work until the test ends.
func fill(t *testing.T, s *Service) {
	t.Helper()
	for range runtime.GOMAXPROCS(0) {
		turn, err := s.admission.enter(t.Context(), 2*maxWait)
		require.NoError(t, err)
		t.Cleanup(turn.end)
	}
}

func (b *Batch) addRows(t *testing.T, n int) {
	t.Helper()
	for range n {
		require.NoError(t, b.Add(&rows.Row{Values: servingtest.Setosa}))
	}
}

// A single row asks for its turn as a batch does, unless it costs next to
// nothing.
func TestRowsAskForTheirTurn(t *testing.T) {
	s, _ := newService(t, 0)
	cheap, dear := open(t, servingtest.Iris(t)), open(t, servingtest.Slow(t))
	require.Greater(t, dear.RowCost(), freeWork)
	_, err := s.PredictRow(t.Context(), dear, servingtest.Setosa, make([]float32, 1))
	require.NoError(t, err)

	fill(t, s)
	require.ErrorIs(t, s.CheckLoad(), ErrOverloaded)
	_, err = s.PredictRow(t.Context(), dear, servingtest.Setosa, make([]float32, 1))
	require.ErrorIs(t, err, ErrOverloaded)
	class, err := s.PredictRow(t.Context(), cheap, servingtest.Setosa, make([]float32, 3))
	require.NoError(t, err)
	assert.Zero(t, class)
}

// An explanation is counted as the work that it is: first by a guess, then by
// what it was measured to cost.
func TestExplanationsAskForTheirTurn(t *testing.T) {
	s, _ := newService(t, 0)
	live := open(t, servingtest.Iris(t))
	many := int(freeWork / (2 * live.RowCost())) // little work to predict, more to explain
	batch := s.NewBatch(live)
	defer batch.Release()
	batch.addRows(t, many)
	guess := s.explainCost(live)
	assert.Equal(t, unmeasured*live.RowCost(), guess)
	require.NoError(t, batch.Predict(t.Context(), true))
	require.Len(t, batch.Explanations, many)
	assert.Positive(t, s.explainCost(live))
	assert.NotEqual(t, guess, s.explainCost(live), "measured")

	s.explains.Store(&explainCost{live, unmeasured * live.RowCost()})
	fill(t, s)
	require.NoError(t, batch.Predict(t.Context(), false))
	require.ErrorIs(t, batch.Predict(t.Context(), true), ErrOverloaded)
	gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	s.admission.pending.Store(0)
	require.ErrorIs(t, batch.Predict(gone, true), context.DeadlineExceeded, "nobody waits who has left")
	s.admission.pending.Store(int64(2*maxWait) * int64(runtime.GOMAXPROCS(0)))
}

// What rows make is bounded over all requests, before it is made.
func TestRowsTakeMemory(t *testing.T) {
	s, _ := newService(t, 1<<20)
	live := open(t, servingtest.Iris(t))
	one, two := s.NewBatch(live), s.NewBatch(live)
	fits := int(s.budget.limit / 52) // 4 values twice, class and 3 scores
	require.ErrorIs(t, one.Resize(100*fits), ErrTooLarge)
	require.NoError(t, one.Resize(fits))
	two.addRows(t, rowsAtOnce)
	var err error
	for range 64 << 10 {
		if err = two.Add(&rows.Row{Values: servingtest.Setosa}); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrOverloaded)
	one.Release()
	two.Release()
	assert.Zero(t, s.budget.used.Load())
}

// An input error names row, column and how the row was given.
func TestInputErrors(t *testing.T) {
	messages := golden.New(t)
	s, _ := newService(t, 0)
	live := open(t, servingtest.Iris(t))
	names := []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}
	for _, row := range []struct {
		name string
		row  rows.Row
		want InputError
	}{
		{"width", rows.Row{Values: []float64{1}}, InputError{Reason: rows.WrongWidth, Row: 1, Column: -1}},
		{"kind", rows.Row{Values: []float64{1, 0, 1, 1}, Cells: []model.Cell{{}, {Kind: model.Text}, {}, {}}}, InputError{Reason: rows.WrongType, Row: 1, Column: 1, Feature: "sepal_width"}},
		{"unknown name", rows.Row{Names: []string{"x"}, Values: []float64{1}}, InputError{Reason: UnknownKey, Row: 1, Column: -1, ByName: true}},
		{"missing name", rows.Row{Names: names[:3], Values: []float64{1, 1, 1}}, InputError{Reason: rows.MissingKey, Row: 1, Column: 3, Feature: "petal_width", ByName: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			batch := s.NewBatch(live)
			defer batch.Release()
			batch.addRows(t, 1)
			var in *InputError
			require.ErrorAs(t, batch.Add(&row.row), &in)
			require.NotEmpty(t, in.Message)
			messages.Add(row.name, in)
			in.Message = ""
			assert.Equal(t, row.want, *in)
		})
	}
}

func TestAuthorize(t *testing.T) {
	s, models := newService(t, 0)
	principal, err := s.Authorize(t.Context(), "good", "predict")
	require.NoError(t, err)
	assert.Equal(t, "ada", principal.Name)
	for _, row := range []struct {
		bearer, scope string
		want          AccessReason
	}{{"good", "admin", MissingScope}, {"bad", "predict", InvalidToken}, {"", "predict", InvalidToken}} {
		var denied *AccessError
		_, err := s.Authorize(t.Context(), row.bearer, row.scope)
		require.ErrorAs(t, err, &denied)
		assert.Equal(t, row.want, denied.Reason)
	}

	_, err = s.Named("iris", "")
	require.ErrorIs(t, err, ErrNotReady)
	models.Store(open(t, servingtest.Iris(t)))
	_, err = s.Named("iris", "3")
	require.NoError(t, err)
	var missing *NotFoundError
	_, err = s.Named("iris", "4")
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, "3", missing.Version)
}
