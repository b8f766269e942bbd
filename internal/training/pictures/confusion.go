package pictures

import (
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Beyond these numbers of classes, counts and names no longer fit.
const (
	maxCounted = 25
	maxNamed   = 40
)

// confusion draws a confusion matrix: true classes down, predicted ones
// across, rows before columns as in scikit-learn. The blue darkens with the
// share of a true class's rows, in lightness alone, so that no colour needs to
// be told from another one; the counts stand in the cells.
func confusion(title string, counts [][]int, names []string) ([]byte, error) {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(14)
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text, p.Y.Label.Text = "predicted class", "true class"
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5
	p.Y.Min, p.Y.Max = p.X.Min, p.X.Max
	p.X.Width, p.Y.Width = 0, 0
	p.X.Tick.Length, p.Y.Tick.Length = 0, 0
	p.X.Tick.Marker, p.Y.Tick.Marker = classTicks(names, false), classTicks(names, true)
	if len(names) > 6 {
		p.X.Tick.Label.Rotation = 0.9
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	}
	p.Add(cells{counts})

	side := vg.Length(min(max(4, 0.45*float64(len(names))+2.5), 14)) * vg.Inch
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(side+vg.Inch, side), vgimg.UseDPI(120))}
	p.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -margin))
	return file(canvas)
}

// classTicks names the classes along an axis; the first true class is on top.
func classTicks(names []string, down bool) plot.ConstantTicks {
	step := (len(names) + maxNamed - 1) / maxNamed
	var ticks plot.ConstantTicks
	for i := 0; i < len(names); i += step {
		at := i
		if down {
			at = len(names) - 1 - i
		}
		ticks = append(ticks, plot.Tick{Value: float64(at), Label: shorten(names[i])})
	}
	return ticks
}

// cells are the squares of a confusion matrix with their counts.
type cells struct{ confusion [][]int }

// Plot implements [plot.Plotter].
func (c cells) Plot(canvas draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&canvas)
	classes := len(c.confusion)
	style := text.Style{
		Font: p.Title.TextStyle.Font, XAlign: draw.XCenter, YAlign: draw.YCenter, Handler: p.TextHandler,
	}
	style.Font.Size = min(0.3*(x(1)-x(0)), vg.Points(16))
	square := func(left, bottom, side, share float64) {
		canvas.FillPolygon(blue(share), []vg.Point{
			{X: x(left), Y: y(bottom)},
			{X: x(left + side), Y: y(bottom)},
			{X: x(left + side), Y: y(bottom + side)},
			{X: x(left), Y: y(bottom + side)},
		})
	}
	square(-0.5, -0.5, float64(classes), 0)
	for i, row := range c.confusion {
		total := 0
		for _, n := range row {
			total += n
		}
		bottom := float64(classes-1-i) - 0.5
		for j, n := range row {
			share := 0.0
			if n > 0 {
				share = float64(n) / float64(total)
				square(float64(j)-0.5, bottom, 1, share)
			}
			if classes > maxCounted {
				continue
			}
			style.Color = color.Black
			if share > 0.5 {
				style.Color = color.White
			}
			canvas.FillText(style, vg.Point{X: x(float64(j)), Y: y(bottom + 0.5)}, strconv.Itoa(n))
		}
	}
}

// DataRange implements [plot.DataRanger].
func (c cells) DataRange() (xmin, xmax, ymin, ymax float64) {
	return -0.5, float64(len(c.confusion)) - 0.5, -0.5, float64(len(c.confusion)) - 0.5
}

var _ plot.Plotter = cells{}

// blue goes from white (0) to dark blue (1).
func blue(share float64) color.Color {
	mix := func(from, to float64) uint8 { return uint8(from + (to-from)*share + 0.5) }
	return color.RGBA{R: mix(247, 8), G: mix(251, 48), B: mix(255, 107), A: 255}
}
