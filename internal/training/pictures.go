package training

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/inspection"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// palette are the colours of Okabe and Ito (2008), which people with any kind of
// colour vision can tell apart. Dashes and glyphs differ too.
func palette() []color.RGBA {
	return []color.RGBA{
		{0, 114, 178, 255},
		{230, 159, 0, 255},
		{0, 158, 115, 255},
		{204, 121, 167, 255},
		{86, 180, 233, 255},
		{213, 94, 0, 255},
		{0, 0, 0, 255},
		{240, 228, 66, 255},
	}
}

// maxDrawn is how many classes one picture shows.
const maxDrawn = 8

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

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = vg.Points(13)
	p.Title.Padding = vg.Points(6)
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Legend.Padding = vg.Points(2)
	p.BackgroundColor = color.White
	return p
}

// encode draws a plot as PNG, width × height inches.
func encode(p *plot.Plot, width, height float64) ([]byte, error) {
	const margin = 8 // points
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(vg.Length(width)*vg.Inch, vg.Length(height)*vg.Inch), vgimg.UseDPI(110))}
	p.Draw(draw.Crop(draw.New(canvas), margin, -2*margin, margin, -margin))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("draw %q: %w", p.Title.Text, err)
	}
	return out.Bytes(), nil
}

// addLine draws a line in the i-th colour and dash.
func addLine(p *plot.Plot, i int, name string, points plotter.XYs) error {
	line, err := plotter.NewLine(points)
	if err != nil {
		return fmt.Errorf("draw %q: %w", p.Title.Text, err)
	}
	colours := palette()
	line.Color = colours[i%len(colours)]
	line.Width = vg.Points(1.8)
	dashes := [][]vg.Length{nil, {vg.Points(6), vg.Points(2)}, {vg.Points(2), vg.Points(2)}, {vg.Points(8), vg.Points(2), vg.Points(2), vg.Points(2)}}
	line.Dashes = dashes[i%len(dashes)]
	p.Add(line)
	if name != "" {
		p.Legend.Add(name, line)
	}
	return nil
}

// addDiagonal draws what chance, or perfect calibration, would give.
func addDiagonal(p *plot.Plot) {
	line := plotter.NewFunction(func(x float64) float64 { return x })
	line.Color, line.Dashes = color.Gray{160}, []vg.Length{vg.Points(3), vg.Points(3)}
	p.Add(line)
}

func unitSquare(p *plot.Plot) {
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1.02
}

// curvesPNG draws one curve for each class against the rest. Points beyond some
// thousands say nothing more and are left out.
func curvesPNG(title, x, y string, truth []int, proba *mat.Dense, names []string, legendTop bool, curve func([]metrics.CurvePoint) (plotter.XYs, string)) ([]byte, error) {
	p := newPlot(title, x, y)
	unitSquare(p)
	p.Legend.Top = legendTop
	p.Legend.Left = legendTop
	for i, class := range drawn(truth, len(names)) {
		positive := make([]bool, len(truth))
		for row, k := range truth {
			positive[row] = k == class
		}
		points, figure := curve(metrics.Curve(positive, mat.Col(nil, class, proba)))
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
		if err := addLine(p, i, shorten(names[class])+figure, points); err != nil {
			return nil, err
		}
	}
	return encode(p, 5.5, 4.5)
}

func rocPNG(y []int, proba *mat.Dense, names []string) ([]byte, error) {
	return curvesPNG("ROC, hold-out", "false positive rate", "true positive rate", y, proba, names, false,
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

func precisionRecallPNG(y []int, proba *mat.Dense, names []string) ([]byte, error) {
	return curvesPNG("Precision and recall, hold-out", "recall", "precision", y, proba, names, false,
		func(curve []metrics.CurvePoint) (plotter.XYs, string) {
			total := curve[len(curve)-1].TruePositives
			if total == 0 {
				return nil, ""
			}
			points := plotter.XYs{{X: 0, Y: 1}}
			var average float64
			for _, c := range curve {
				at := plotter.XY{X: float64(c.TruePositives) / float64(total), Y: float64(c.TruePositives) / float64(c.TruePositives+c.FalsePositives)}
				average += (at.X - points[len(points)-1].X) * at.Y
				points = append(points, at)
			}
			return points, fmt.Sprintf(" (AP %.3f)", average)
		})
}

func calibrationPNG(y []int, proba *mat.Dense, ece float64) ([]byte, error) {
	p := newPlot(fmt.Sprintf("Calibration, hold-out (ECE %.3f)", ece), "mean confidence of the bin", "share that is right")
	unitSquare(p)
	addDiagonal(p)
	var points plotter.XYs
	var labels []string
	for _, bin := range metrics.Calibration(y, proba, metrics.CalibrationBins) {
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
		return nil, fmt.Errorf("draw the calibration: %w", err)
	}
	marks.Shape, marks.Color, marks.Radius = draw.CircleGlyph{}, palette()[0], vg.Points(3.5)
	counts, err := plotter.NewLabels(plotter.XYLabels{XYs: points, Labels: labels})
	if err != nil {
		return nil, fmt.Errorf("draw the calibration: %w", err)
	}
	counts.Offset = vg.Point{X: vg.Points(3), Y: vg.Points(-9)}
	p.Add(marks, counts)
	p.X.Label.Text += " (numbers: rows)"
	return encode(p, 5, 4.5)
}

func lossPNG(losses []float64) ([]byte, error) {
	p := newPlot("Objective after each iteration", "iteration", "objective on the training rows")
	points := make(plotter.XYs, len(losses))
	for i, loss := range losses {
		points[i] = plotter.XY{X: float64(i + 1), Y: loss}
	}
	if err := addLine(p, 0, "", points); err != nil {
		return nil, err
	}
	return encode(p, 5.5, 4)
}

// maxBars is how many features the picture of importances names.
const maxBars = 20

func importancePNG(importances []inspection.Importance, features []string) ([]byte, error) {
	order := byImportance(importances)
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
		values[i] = importances[j].Mean
		spread.XYs[i] = plotter.XY{X: importances[j].Mean, Y: float64(i)}
		spread.XErrors[i].Low, spread.XErrors[i].High = importances[j].Std, importances[j].Std
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: shorten(features[j])})
	}
	bars, err := plotter.NewBarChart(values, vg.Points(11))
	if err != nil {
		return nil, fmt.Errorf("draw the importances: %w", err)
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, palette()[4], 0
	whiskers, err := plotter.NewXErrorBars(spread)
	if err != nil {
		return nil, fmt.Errorf("draw the importances: %w", err)
	}
	p.Add(bars, whiskers)
	p.Y.Tick.Marker = ticks
	p.Y.Tick.Length, p.Y.Width = 0, 0
	p.Y.Min, p.Y.Max = -0.6, float64(len(order))-0.4
	return encode(p, 6, 1.6+0.26*float64(len(order)))
}

// byImportance orders the features, the most important first.
func byImportance(importances []inspection.Importance) []int {
	order := make([]int, len(importances))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(importances[b].Mean, importances[a].Mean) })
	return order
}

// maxHistograms is how many features get a histogram.
const maxHistograms = 12

// histogramPNG draws how a feature is spread in each class: shares of the class's
// rows in twenty bins.
func histogramPNG(feature string, column int, rows part, names []string) ([]byte, error) {
	const bins = 20
	p := newPlot("Training rows by class", shorten(feature), "share of the class's rows")
	p.Legend.Top = true
	values := mat.Col(nil, column, rows.x)
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if !(low < high) {
		low, high = low-0.5, low+0.5
		if math.IsInf(low, 0) { // no value at all
			low, high = 0, 1
		}
	}
	width := (high - low) / bins
	for i, class := range drawn(rows.y, len(names)) {
		var counts [bins]float64
		total := 0.0
		for row, v := range values {
			if rows.y[row] == class && !math.IsNaN(v) {
				counts[min(int((v-low)/width), bins-1)]++
				total++
			}
		}
		outline := plotter.XYs{{X: low}}
		for bin, n := range counts {
			share := n / max(total, 1)
			outline = append(outline, plotter.XY{X: low + float64(bin)*width, Y: share}, plotter.XY{X: low + float64(bin+1)*width, Y: share})
		}
		if err := addLine(p, i, shorten(names[class]), append(outline, plotter.XY{X: high})); err != nil {
			return nil, err
		}
	}
	p.Y.Min = 0
	return encode(p, 5, 3.5)
}

// regionsPNG colours the plane of two features by the class that the model
// predicts there, all other features at their median, and lays training rows
// over it.
func regionsPNG(model learn.Classifier, rows part, a, b int, features, names []string) ([]byte, error) {
	const side = 120
	n, width := rows.x.Dims()
	medians := make([]float64, width)
	var bounds [2][2]float64
	for j := range medians {
		f := describeFeature("", mat.Col(nil, j, rows.x))
		medians[j] = f.Median
		margin := 0.05*(f.Max-f.Min) + 1e-9
		if j == a {
			bounds[0] = [2]float64{f.Min - margin, f.Max + margin}
		}
		if j == b {
			bounds[1] = [2]float64{f.Min - margin, f.Max + margin}
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
	proba, err := model.PredictProba(grid)
	if err != nil {
		return nil, fmt.Errorf("draw the decision regions: %w", err)
	}
	colours := palette()
	shown := drawn(rows.y, len(names))
	plane := image.NewRGBA(image.Rect(0, 0, side, side))
	for i, class := range learn.Predict(proba) {
		shade := color.RGBA{230, 230, 230, 255}
		if k := slices.Index(shown, class); k >= 0 {
			shade = pale(colours[k])
		}
		plane.SetRGBA(i%side, i/side, shade)
	}
	p := newPlot("Decision regions, the other features at their median", shorten(features[a]), shorten(features[b]))
	p.Legend.Top = true
	p.Add(plotter.NewImage(plane, bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]))
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.TriangleGlyph{}, draw.SquareGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}}
	step := n/1000 + 1 // a thousand points are enough to see
	for k, class := range shown {
		var points plotter.XYs
		for i := 0; i < n; i += step {
			x, y := rows.x.At(i, a), rows.x.At(i, b)
			if rows.y[i] == class && !math.IsNaN(x) && !math.IsNaN(y) {
				points = append(points, plotter.XY{X: x, Y: y})
			}
		}
		if points == nil {
			continue
		}
		marks, err := plotter.NewScatter(points)
		if err != nil {
			return nil, fmt.Errorf("draw the decision regions: %w", err)
		}
		marks.Shape, marks.Color, marks.Radius = shapes[k], colours[k], vg.Points(2.5)
		p.Add(marks)
		p.Legend.Add(shorten(names[class]), marks)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = bounds[0][0], bounds[0][1], bounds[1][0], bounds[1][1]
	return encode(p, 6, 4.8)
}

// pale is a colour mixed with much white.
func pale(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8(float64(v)*0.28 + 255*0.72) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 255}
}
