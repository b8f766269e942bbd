// Package pictures draws what a training has to show: confusion matrices, ROC,
// precision and recall, calibration, the loss by iteration, importances, the
// features by class and the decision regions. Colours can be told apart with any
// kind of colour vision; the same model gives the same bytes.
package pictures

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/inspection"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// A Subject is a fitted model with what is known about it.
type Subject struct {
	Features, Classes []string
	Model             learn.Classifier
	Training, Test    Rows // what it was fitted on, and the hold-out
	// Proba has the model's probabilities for the hold-out (rows × classes).
	Proba *mat.Dense
	// Losses are the objective after each iteration, where there is one.
	Losses []float64
	// Importance is that of each feature; nil where nobody asked.
	Importance []inspection.Importance
}

// Rows are samples with what the model's report says of them.
type Rows struct {
	X      *mat.Dense // rows × features
	Y      []int      // class indices
	Report *metrics.Report
}

// A Picture is a PNG file.
type Picture struct {
	Name    string // relative to the run's files, such as "plots/roc.png"
	Content []byte
}

// Draw draws all that there is to see of a model.
func Draw(s *Subject) ([]Picture, error) {
	a := album{Subject: s}
	for _, p := range []struct {
		file, title string
		report      *metrics.Report
	}{
		{"training_confusion_matrix.png", "Training rows", s.Training.Report},
		{"test_confusion_matrix.png", "Hold-out", s.Test.Report},
	} {
		title := fmt.Sprintf("%s: %d of %d right", p.title, trace(p.report.Confusion), p.report.Rows)
		a.add(p.file)(confusion(title, p.report.Confusion, s.Classes))
	}
	a.add("plots/roc.png")(s.roc())
	a.add("plots/precision_recall.png")(s.precisionRecall())
	a.add("plots/calibration.png")(s.calibration())
	if len(s.Losses) > 1 {
		a.add("plots/loss.png")(s.loss())
	}
	if s.Importance == nil {
		return a.pictures, a.err
	}
	a.add("plots/importance.png")(s.importance())
	order := inspection.Order(s.Importance)
	for i, column := range order[:min(len(order), maxHistograms)] {
		a.add(fmt.Sprintf("plots/histogram_%02d.png", i+1))(s.histogram(column))
	}
	if len(order) > 1 {
		a.add("plots/decision_regions.png")(s.regions(order[0], order[1]))
	}
	return a.pictures, a.err
}

// An album collects pictures until one cannot be drawn.
type album struct {
	*Subject
	pictures []Picture
	err      error
}

func (a *album) add(name string) func(content []byte, err error) {
	return func(content []byte, err error) {
		if err != nil && a.err == nil {
			a.err = fmt.Errorf("draw %s: %w", name, err)
		}
		a.pictures = append(a.pictures, Picture{name, content})
	}
}

func trace(confusion [][]int) int {
	sum := 0
	for i, row := range confusion {
		sum += row[i]
	}
	return sum
}

// maxDrawn is how many classes one picture shows.
const maxDrawn = 8

// leftOut says in a title that not all classes are drawn.
func (s *Subject) leftOut() string {
	if len(s.Classes) <= maxDrawn {
		return ""
	}
	return fmt.Sprintf(" (%d largest of %d classes)", maxDrawn, len(s.Classes))
}

// drawn are the classes that a picture has room for: those with the most rows, in
// their order.
func drawn(y []int, classes int) []int {
	counts := make([]int, classes)
	order := make([]int, classes)
	for k := range order {
		order[k] = k
	}
	for _, k := range y {
		counts[k]++
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(counts[b], counts[a]) })
	order = order[:min(maxDrawn, classes)]
	slices.Sort(order)
	return order
}

// curves draws one curve for each class against the rest. Points beyond some
// thousands say nothing more and are left out.
func (s *Subject) curves(title, x, y string, curve func([]metrics.CurvePoint) (plotter.XYs, string)) ([]byte, error) {
	p := newPlot(title+s.leftOut(), x, y)
	unitSquare(p)
	for i, class := range drawn(s.Test.Y, len(s.Classes)) {
		positive := make([]bool, len(s.Test.Y))
		for row, k := range s.Test.Y {
			positive[row] = k == class
		}
		points, figure := curve(metrics.Curve(positive, mat.Col(nil, class, s.Proba)))
		if points == nil {
			continue // the class does not occur
		}
		if step := len(points)/4000 + 1; step > 1 {
			last := points[len(points)-1]
			thinned := make(plotter.XYs, 0, len(points)/step+2)
			for k := 0; k < len(points); k += step {
				thinned = append(thinned, points[k])
			}
			points = append(thinned, last)
		}
		if err := addLine(p, i, shorten(s.Classes[class])+figure, points); err != nil {
			return nil, err
		}
	}
	return encodeBeside(p, 5, 4.5)
}

func (s *Subject) roc() ([]byte, error) {
	return s.curves("ROC, hold-out", "false positive rate", "true positive rate",
		func(curve []metrics.CurvePoint) (plotter.XYs, string) {
			last := curve[len(curve)-1]
			if last.TruePositives == 0 || last.FalsePositives == 0 {
				return nil, ""
			}
			points := plotter.XYs{{}}
			var area float64
			for _, c := range curve {
				at := plotter.XY{X: float64(c.FalsePositives) / float64(last.FalsePositives), Y: float64(c.TruePositives) / float64(last.TruePositives)}
				before := points[len(points)-1]
				area += (at.X - before.X) * (at.Y + before.Y) / 2
				points = append(points, at)
			}
			return points, fmt.Sprintf(" (AUC %.3f)", area)
		})
}

func (s *Subject) precisionRecall() ([]byte, error) {
	return s.curves("Precision and recall, hold-out", "recall", "precision",
		func(curve []metrics.CurvePoint) (plotter.XYs, string) {
			total := curve[len(curve)-1].TruePositives
			if total == 0 {
				return nil, ""
			}
			points := plotter.XYs{{X: 0, Y: 1}}
			var average float64
			for _, c := range curve {
				at := plotter.XY{X: float64(c.TruePositives) / float64(total), Y: float64(c.TruePositives) / float64(c.TruePositives+c.FalsePositives)}
				before := points[len(points)-1].X
				average += (at.X - before) * at.Y
				points = append(points, plotter.XY{X: before, Y: at.Y}, at) // the steps that the average adds up
			}
			return points, fmt.Sprintf(" (AP %.3f)", average)
		})
}

func (s *Subject) calibration() ([]byte, error) {
	p := newPlot(fmt.Sprintf("Calibration, hold-out (ECE %.3f)", s.Test.Report.ECE), "mean confidence of the bin", "share that is right")
	unitSquare(p)
	addDiagonal(p)
	var points plotter.XYs
	var labels []string
	for _, bin := range metrics.Calibration(s.Test.Y, s.Proba, metrics.CalibrationBins) {
		if bin.Rows > 0 {
			points = append(points, plotter.XY{X: bin.Confidence, Y: bin.Accuracy})
			labels = append(labels, fmt.Sprintf(" %d", bin.Rows))
		}
	}
	if err := addLine(p, 0, "", points); err != nil {
		return nil, err
	}
	marks, err := plotter.NewScatter(points)
	if err != nil {
		return nil, err
	}
	marks.Shape, marks.Color, marks.Radius = draw.CircleGlyph{}, palette()[0], vg.Points(3.5)
	counts, err := plotter.NewLabels(plotter.XYLabels{XYs: points, Labels: labels})
	if err != nil {
		return nil, err
	}
	counts.Offset = vg.Point{X: vg.Points(3), Y: vg.Points(-9)}
	p.Add(marks, counts)
	p.X.Label.Text += " (numbers: rows)"
	return encode(p, 5, 4.5)
}

func (s *Subject) loss() ([]byte, error) {
	p := newPlot("Objective after each iteration", "iteration", "objective on the training rows")
	points := make(plotter.XYs, len(s.Losses))
	for i, loss := range s.Losses {
		points[i] = plotter.XY{X: float64(i + 1), Y: loss}
	}
	if err := addLine(p, 0, "", points); err != nil {
		return nil, err
	}
	return encode(p, 5.5, 4)
}

// maxBars is how many features the picture of importances names.
const maxBars = 20

func (s *Subject) importance() ([]byte, error) {
	order := inspection.Order(s.Importance)
	order = order[:min(len(order), maxBars)]
	slices.Reverse(order) // the first one on top
	p := newPlot("Permutation importance, hold-out", "rise of the log-loss when shuffled (line: ± one standard deviation)", "")
	values := make(plotter.Values, len(order))
	spread := struct {
		plotter.XYs
		plotter.XErrors
	}{make(plotter.XYs, len(order)), make(plotter.XErrors, len(order))}
	var ticks plot.ConstantTicks
	for i, j := range order {
		values[i] = s.Importance[j].Mean
		spread.XYs[i] = plotter.XY{X: s.Importance[j].Mean, Y: float64(i)}
		spread.XErrors[i].Low, spread.XErrors[i].High = s.Importance[j].Std, s.Importance[j].Std
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: shorten(s.Features[j])})
	}
	bars, err := plotter.NewBarChart(values, vg.Points(11))
	if err != nil {
		return nil, err
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, palette()[4], 0
	whiskers, err := plotter.NewXErrorBars(spread)
	if err != nil {
		return nil, err
	}
	p.Add(bars, whiskers)
	p.Y.Tick.Marker = ticks
	p.Y.Tick.Length, p.Y.Width = 0, 0
	p.Y.Min, p.Y.Max = -0.6, float64(len(order))-0.4
	return encode(p, 6, 1.6+0.26*float64(len(order)))
}

// maxHistograms is how many features get a histogram.
const maxHistograms = 12

// histogram draws how a feature is spread in each class: shares of the class's
// rows in twenty bins.
func (s *Subject) histogram(column int) ([]byte, error) {
	const bins = 20
	p := newPlot("Training rows by class"+s.leftOut(), shorten(s.Features[column]), "share of the class's rows")
	values := mat.Col(nil, column, s.Training.X)
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if !(low < high) {
		half := max(0.5, math.Abs(low)/1e6) // 1e30 + 0.5 is 1e30
		low, high = low-half, low+half
		if math.IsInf(low, 0) { // no value at all
			low, high = 0, 1
		}
	}
	width := (high - low) / bins
	for i, class := range drawn(s.Training.Y, len(s.Classes)) {
		var counts [bins]float64
		total := 0.0
		for row, v := range values {
			if s.Training.Y[row] == class && !math.IsNaN(v) {
				counts[min(int((v-low)/width), bins-1)]++
				total++
			}
		}
		outline := plotter.XYs{{X: low}}
		for bin, n := range counts {
			share := n / max(total, 1)
			outline = append(outline, plotter.XY{X: low + float64(bin)*width, Y: share}, plotter.XY{X: low + float64(bin+1)*width, Y: share})
		}
		if err := addLine(p, i, shorten(s.Classes[class]), append(outline, plotter.XY{X: high})); err != nil {
			return nil, err
		}
	}
	p.Y.Min = 0
	return encodeBeside(p, 5, 3.5)
}

// regions colours the plane of two features by the class that the model predicts
// there, all other features at their median, and lays training rows over it.
func (s *Subject) regions(a, b int) ([]byte, error) {
	p := newPlot("Decision regions, the other features at their median"+s.leftOut(), shorten(s.Features[a]), shorten(s.Features[b]))
	shown := drawn(s.Training.Y, len(s.Classes))
	plane, err := s.plane(a, b, shown)
	if err != nil {
		return nil, err
	}
	p.Add(plane)
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.TriangleGlyph{}, draw.SquareGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}}
	step := len(s.Training.Y)/1000 + 1 // a thousand points are enough to see
	for k, class := range shown {
		var points plotter.XYs
		for i := 0; i < len(s.Training.Y); i += step {
			x, y := s.Training.X.At(i, a), s.Training.X.At(i, b)
			if s.Training.Y[i] == class && !math.IsNaN(x) && !math.IsNaN(y) {
				points = append(points, plotter.XY{X: x, Y: y})
			}
		}
		if points == nil {
			continue
		}
		marks, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		marks.Shape, marks.Color, marks.Radius = shapes[k], dark(palette()[k]), vg.Points(2.5)
		p.Add(marks)
		p.Legend.Add(shorten(s.Classes[class]), marks)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = plane.DataRange()
	return encodeBeside(p, 6, 4.8)
}

// plane is the image of the predicted classes.
func (s *Subject) plane(a, b int, shown []int) (*plotter.Image, error) {
	const side = 120
	_, width := s.Training.X.Dims()
	medians := make([]float64, width)
	var bounds [2][2]float64
	for j := range medians {
		values := slices.DeleteFunc(mat.Col(nil, j, s.Training.X), math.IsNaN)
		if len(values) == 0 {
			values = []float64{0}
		}
		slices.Sort(values)
		medians[j] = stat.Quantile(0.5, stat.Empirical, values, nil)
		low, high := values[0], values[len(values)-1]
		margin := 0.05*(high-low) + 1e-9
		if j == a {
			bounds[0] = [2]float64{low - margin, high + margin}
		}
		if j == b {
			bounds[1] = [2]float64{low - margin, high + margin}
		}
	}
	grid := mat.NewDense(side*side, width, nil)
	at := func(axis, i int) float64 {
		return bounds[axis][0] + (float64(i)+0.5)/side*(bounds[axis][1]-bounds[axis][0])
	}
	for i := range side * side {
		row := grid.RawRowView(i)
		copy(row, medians)
		row[a], row[b] = at(0, i%side), at(1, side-1-i/side)
	}
	proba, err := s.Model.PredictProba(grid)
	if err != nil {
		return nil, err
	}
	plane := image.NewRGBA(image.Rect(0, 0, side, side))
	for i, class := range learn.Predict(proba) {
		shade := color.RGBA{230, 230, 230, 255}
		if k := slices.Index(shown, class); k >= 0 {
			shade = pale(palette()[k])
		}
		plane.SetRGBA(i%side, i/side, shade)
	}
	return plotter.NewImage(plane, bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]), nil
}
