package predict

import (
	"context"
	"errors"
	"time"
	"unsafe"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/rows"
	"github.com/petal-ml/petal/internal/serving"
)

// A Batch is the rows of one request, in the model's order, and what the model
// says of them. It holds a share of the memory for requests until Release. It
// belongs to one goroutine.
type Batch struct {
	Share
	Model *serving.Live
	// IgnoreUnknown lets names pass that the model does not know.
	IgnoreUnknown bool

	// What [Batch.Predict] fills: a class a row, [serving.Live.NumScores]
	// scores a row, and explanations where they were asked for.
	Classes      []int
	Scores       []float32
	Explanations []model.Explanation
	// Unseen are the categories among the rows that training did not know, in the
	// order of the rows. The model takes them as other ones.
	Unseen []Unseen

	service  *Service
	features []model.Feature
	index    map[string]int // made when the first name is looked up
	n, paid  int            // rows, and rows whose memory was taken
	x        []float32      // n rows, one after another
	all      []model.Cell   // the same rows for a typed model
	byName   bool           // the last row was

	// What one row is put in order with.
	row     []float64
	cells   []model.Cell
	given   []bool
	widened []model.Cell
}

// An Unseen is a value of a category that training did not know.
type Unseen struct {
	Row, Column int
	Value       string
}

// note keeps an unseen category.
func (b *Batch) note(row, column int, c model.Cell) error {
	if !b.features[column].Unseen(c) {
		return nil
	}
	b.Unseen = append(b.Unseen, Unseen{row, column, c.Text})
	return b.Take(2 * int(unsafe.Sizeof(Unseen{}))) // it grows by doubling
}

// NewBatch returns an empty batch for the model. The caller must call Release.
func (s *Service) NewBatch(live *serving.Live) *Batch {
	features := live.Info().Features
	return &Batch{
		Share: Share{of: s.budget}, Model: live, service: s, features: features,
		row: make([]float64, len(features)), cells: make([]model.Cell, len(features)), given: make([]bool, len(features)),
	}
}

// Len is the number of rows.
func (b *Batch) Len() int { return b.n }

// RowScores returns the scores of row i.
func (b *Batch) RowScores(i int) []float32 {
	width := b.Model.NumScores()
	return b.Scores[i*width : (i+1)*width]
}

// rowsAtOnce is for how many rows memory is taken together.
const rowsAtOnce = 256

// takeRows takes the memory of rows: numbers and cells, which grow by doubling,
// class and scores.
func (b *Batch) takeRows(n int) error {
	bytes := 2*4*len(b.features) + int(unsafe.Sizeof(0)) + 4*b.Model.NumScores()
	if b.Model.IsTyped() {
		bytes += 3 * len(b.features) * int(unsafe.Sizeof(model.Cell{}))
	}
	b.paid += n
	return b.Take(n * bytes)
}

// Resize makes room for n rows, to be filled by [Batch.Set].
func (b *Batch) Resize(n int) error {
	if err := b.takeRows(n); err != nil {
		return err
	}
	b.n, b.x = n, make([]float32, n*len(b.features))
	if b.Model.IsTyped() {
		b.all = make([]model.Cell, n*len(b.features))
	}
	return nil
}

// Set checks a value and puts it in its place; the error is an [*InputError].
func (b *Batch) Set(row, column int, c model.Cell) error {
	if err := b.Model.CheckCell(column, c); err != nil {
		return inputError(err, row, false)
	}
	at := row*len(b.features) + column
	b.x[at] = float32(c.Number)
	if b.all != nil {
		b.all[at] = c
		return b.note(row, column, c)
	}
	return nil
}

// Add checks a row and appends what it says: the caller may use it again. The
// error is an [*InputError], or one of [Share.Take].
func (b *Batch) Add(in *rows.Row) error {
	row, cells := in.Values, in.Cells
	if b.Model.IsTyped() && cells == nil {
		b.widened = rows.Widen(b.widened[:0], row)
		cells = b.widened
	}
	b.byName = in.Names != nil
	if b.byName {
		if err := b.order(in.Names, row, cells); err != nil {
			return err
		}
		row = b.row
		if cells != nil {
			cells = b.cells
		}
	}
	if err := b.check(row, cells); err != nil {
		return inputError(err, b.n, b.byName)
	}
	if b.n == b.paid {
		if err := b.takeRows(rowsAtOnce); err != nil {
			return err
		}
	}
	if b.Model.IsTyped() {
		b.all = append(b.all, cells...)
		for column, c := range cells {
			if err := b.note(b.n, column, c); err != nil {
				return err
			}
		}
	}
	for _, v := range row {
		b.x = append(b.x, float32(v))
	}
	b.n++
	return nil
}

// check checks a row. Cells may be nil for a row of numbers.
func (b *Batch) check(row []float64, cells []model.Cell) error {
	if cells == nil {
		return b.Model.Check(row)
	}
	return b.Model.CheckCells(cells)
}

// order puts the values of one row in the model's order. Every feature must be
// there: a missing value is written as null.
func (b *Batch) order(names []string, row []float64, cells []model.Cell) error {
	clear(b.given)
	for j, name := range names {
		at, known := b.Column(name)
		if !known && b.IgnoreUnknown {
			continue
		} else if !known {
			return &InputError{
				Reason: UnknownKey, Row: b.n, Column: -1, ByName: true,
				Message: "there is a feature that the model does not know",
			}
		}
		b.row[at], b.given[at] = row[j], true
		if cells == nil {
			continue
		}
		// A value of another kind is told before one that is missing.
		if err := b.Model.CheckCell(at, cells[j]); err != nil {
			return inputError(err, b.n, true)
		}
		b.cells[at] = cells[j]
	}
	for j, ok := range b.given {
		if !ok {
			return &InputError{Reason: rows.MissingKey, Row: b.n, Column: j, Feature: b.features[j].Name, ByName: true, Message: "this feature is missing"}
		}
	}
	return nil
}

// Column finds a feature by name.
func (b *Batch) Column(name string) (int, bool) {
	if b.index == nil {
		b.index = make(map[string]int, len(b.features))
		for i, f := range b.features {
			b.index[f.Name] = i
		}
	}
	at, known := b.index[name]
	return at, known
}

// Predict evaluates all rows in their turn, and explains them where that is
// wanted. The error is [ErrOverloaded], an [*InputError], one of [Share.Take],
// or a fault of ours.
func (b *Batch) Predict(ctx context.Context, explain bool) error {
	cost := b.Model.RowCost()
	if explain {
		cost += b.service.explainCost(b.Model)
		if err := b.Take(b.n * (int(unsafe.Sizeof(model.Explanation{})) + 8*len(b.features))); err != nil {
			return err
		}
	}
	turn, err := b.service.admission.enter(ctx, time.Duration(b.n)*cost)
	if err != nil {
		return err
	}
	defer turn.end()
	for _, u := range b.Unseen {
		b.service.unseen.WithLabelValues(b.features[u.Column].Name).Inc()
	}
	if err := b.evaluate(); err != nil || !explain {
		return err
	}
	return b.explain()
}

func (b *Batch) evaluate() error {
	b.Classes = make([]int, b.n)
	b.Scores = make([]float32, b.n*b.Model.NumScores())
	var row int
	var err error
	if b.Model.IsTyped() {
		row, err = b.evaluateTyped()
	} else {
		row, err = b.Model.PredictRows(b.x, b.Classes, b.Scores)
	}
	if !errors.Is(err, model.ErrNotFinite) {
		row = -1 // a graph refuses rows together
	}
	return inputError(err, row, b.byName)
}

// evaluateTyped evaluates the cells in the types of the graph.
func (b *Batch) evaluateTyped() (int, error) {
	table, err := b.Model.NewTable(b.n)
	if err != nil {
		return 0, err
	}
	for i, c := range b.all {
		row, column := i/len(b.features), i%len(b.features)
		if err := table.Set(row, column, c); err != nil {
			return 0, inputError(err, row, b.byName)
		}
	}
	return b.Model.PredictTable(table, b.Classes, b.Scores)
}

// An explainCost is what it costs to explain a row of a model.
type explainCost struct {
	of  *serving.Live
	row time.Duration
}

// unmeasured is how much more than its evaluation the explanation of a row is
// taken to cost before it was measured.
const unmeasured = 10

func (s *Service) explainCost(m *serving.Live) time.Duration {
	if c := s.explains.Load(); c != nil && c.of == m {
		return c.row
	}
	return unmeasured * m.RowCost()
}

// explain explains all rows, and measures what one costs. The first explanation
// of a model is not measured: it takes the model apart.
func (b *Batch) explain() error {
	known := b.service.explains.Load()
	if known != nil && known.of != b.Model {
		known = nil
	}
	b.Explanations = make([]model.Explanation, b.n)
	start := time.Now()
	for i := range b.Explanations {
		var err error
		b.Explanations[i], err = b.Model.Explain(b.x[i*len(b.features):(i+1)*len(b.features)], b.Classes[i])
		if errors.Is(err, model.ErrNoExplanation) {
			return &InputError{Reason: Unexplained, Row: -1, Column: -1, Message: err.Error()}
		} else if err != nil {
			return err
		}
		if i == 0 && known == nil {
			start = time.Now()
		}
	}
	measured := b.n
	if known == nil {
		measured--
	}
	if measured < 1 {
		return nil
	}
	row := time.Since(start) / time.Duration(measured)
	if known == nil || row < known.row {
		b.service.explains.Store(&explainCost{b.Model, row})
	}
	return nil
}
