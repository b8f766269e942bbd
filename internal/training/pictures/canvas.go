package pictures

import (
	"bytes"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
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

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = vg.Points(13)
	p.Title.Padding = vg.Points(6)
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{}
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Legend.Padding = vg.Points(2)
	p.BackgroundColor = color.White
	return p
}

// ticks labels about five round numbers of an axis.
type ticks struct{}

// Ticks implements [plot.Ticker].
func (ticks) Ticks(low, high float64) []plot.Tick {
	if !(low < high) || math.IsInf(high-low, 0) {
		return plot.DefaultTicks{}.Ticks(low, high)
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, factor := range []float64{5, 2} {
		if step*factor <= (high-low)/4 {
			step *= factor
			break
		}
	}
	var all []plot.Tick
	for i := math.Ceil(low / step); i <= math.Floor(high/step); i++ {
		v := i*step + 0 // no −0
		all = append(all, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return all
}

const margin = 8 // points, around a picture

func newCanvas(width, height float64) vgimg.PngCanvas {
	return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(vg.Length(width)*vg.Inch, vg.Length(height)*vg.Inch), vgimg.UseDPI(110))}
}

// encode draws a plot as PNG, width × height inches.
func encode(p *plot.Plot, width, height float64) ([]byte, error) {
	canvas := newCanvas(width, height)
	p.Draw(draw.Crop(draw.New(canvas), margin, -2*margin, margin, -margin))
	return file(canvas)
}

// encodeBeside is encode with the legend on the right of the plot, where it hides
// nothing.
func encodeBeside(p *plot.Plot, width, height float64) ([]byte, error) {
	legend := p.Legend
	p.Legend, legend.Top = plot.NewLegend(), true
	area := legend.Rectangle(draw.New(newCanvas(width, height)))
	strip := area.Max.X - area.Min.X + margin
	canvas := newCanvas(width+float64(strip/vg.Inch), height)
	legend.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -4*margin))
	p.Draw(draw.Crop(draw.New(canvas), margin, -2*margin-strip, margin, -margin))
	return file(canvas)
}

func file(canvas vgimg.PngCanvas) ([]byte, error) {
	var out bytes.Buffer
	_, err := canvas.WriteTo(&out)
	return out.Bytes(), err
}

// addLine draws a line in the i-th colour and dash.
func addLine(p *plot.Plot, i int, name string, points plotter.XYs) error {
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
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

// pale is a colour mixed with much white.
func pale(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8(float64(v)*0.28 + 255*0.72) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 255}
}

// dark is a colour mixed with black, to stand out from its pale one.
func dark(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8(float64(v) * 0.7) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 255}
}

// shorten cuts a name that would not fit.
func shorten(name string) string {
	if r := []rune(name); len(r) > 20 {
		return string(r[:19]) + "…"
	}
	return name
}
