// Command onnxbench measures internal/onnx against onnxruntime: the same models,
// the same 1,000 different rows, one thread each, in turns, so that what else the
// machine does falls on both. What a call of the Python binding costs, measured
// with a model that only passes its input on, is subtracted from onnxruntime's
// times. Medians are printed.
package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

//go:embed bench.py
var script string

func main() {
	dir := flag.String("dir", "", "where the models stand, or are written; empty: a temporary folder")
	rounds := flag.Int("rounds", 15, "how many passes each side makes over the rows")
	flag.Parse()
	if err := run(*dir, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "onnxbench:", err)
		os.Exit(1)
	}
}

// A model is one row of the table, with the largest ratios that it may have.
type model struct {
	Title, Name string
}

// limits are the ratios to onnxruntime that Petal promises: one row, many rows.
func limits(name string) (one, many float64) {
	switch name {
	case "lr":
		return 0.4, 0.7
	case "forest":
		return 0.8, 0.9
	default:
		return 0.7, 1.0
	}
}

func run(dir string, rounds int) error {
	python, err := pyvenv.Python()
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "onnxbench"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		fmt.Println("training the models of the benchmark …")
		cmd := exec.Command(python, "-c", script, dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("train the models: %w", err)
		}
	}
	other, err := startOther(python, dir)
	if err != nil {
		return err
	}
	defer other.stop()
	runtime.GOMAXPROCS(1)
	return compare(dir, other, rounds)
}

func compare(dir string, other *other, rounds int) error {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return err
	}
	var index struct {
		Models   []model
		Features int
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	rows, err := readRows(filepath.Join(dir, "rows.bin"))
	if err != nil {
		return err
	}
	fmt.Printf("%-38s %9s %9s %7s %5s   %9s %9s %7s %5s\n", "", "one row", "onnxrt", "ratio", "goal", "1,000", "onnxrt", "ratio", "goal")
	for _, m := range index.Models {
		if m.Name == "identity" || m.Name == "big" {
			continue
		}
		if err := compareModel(dir, other, m, rows, index.Features, rounds); err != nil {
			return fmt.Errorf("%s: %w", m.Title, err)
		}
	}
	return loading(dir, rounds)
}

func compareModel(dir string, other *other, m model, rows []float32, features, rounds int) error {
	p, err := load(filepath.Join(dir, m.Name+".onnx"))
	if err != nil {
		return err
	}
	fast, why := p.FastPath()
	n := len(rows) / features
	var times [6][]float64 // one: Go, Python, identity; many: the same
	for range rounds {
		one, err := goOne(p, rows, features)
		if err != nil {
			return err
		}
		many, err := goMany(p, rows, features)
		if err != nil {
			return err
		}
		times[0], times[3] = append(times[0], one), append(times[3], many)
		for i, call := range []struct {
			name string
			rows int
		}{1: {m.Name, 1}, 2: {"identity", 1}, 4: {m.Name, n}, 5: {"identity", n}} {
			if call.name == "" {
				continue
			}
			t, err := other.measure(call.name, call.rows)
			if err != nil {
				return err
			}
			times[i] = append(times[i], t)
		}
	}
	goalOne, goalMany := limits(m.Name)
	perRow := 1e6 / float64(n)
	one, ortOne := median(times[0])*perRow, (median(times[1])-median(times[2]))*perRow
	many, ortMany := median(times[3])*perRow, (median(times[4])-median(times[5]))*perRow
	fmt.Printf("%-38s %7.2fµs %7.2fµs %7.2f %5.2f   %7.3fµs %7.3fµs %7.2f %5.2f%s\n", m.Title,
		one, ortOne, one/ortOne, goalOne, many, ortMany, many/ortMany, goalMany, note(fast, why, one/ortOne > goalOne || many/ortMany > goalMany))
	return nil
}

func note(fast bool, why string, missed bool) string {
	s := ""
	if missed {
		s = "  MISSED"
	}
	if !fast {
		s += "  (not on the fast path: " + why + ")"
	}
	return s
}

func load(path string) (*eval.Predictor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	m, err := onnx.Load(f, onnx.Limits{})
	if err != nil {
		return nil, err
	}
	s, err := eval.NewSession(m)
	if err != nil {
		return nil, err
	}
	return eval.NewPredictor(s)
}

// goOne scores the rows one by one and returns the seconds.
func goOne(p *eval.Predictor, rows []float32, features int) (float64, error) {
	scores := make([]float32, p.NumScores())
	start := time.Now()
	for i := 0; i < len(rows); i += features {
		if _, err := p.PredictRow(rows[i:i+features], scores); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds(), nil
}

// passes is how often the rows are scored at once in a round: one pass alone takes
// less than a tenth of a millisecond.
const passes = 20

// goMany scores the rows at once and returns the seconds of a pass.
func goMany(p *eval.Predictor, rows []float32, features int) (float64, error) {
	n := len(rows) / features
	classes, scores := make([]int, n), make([]float32, n*p.NumScores())
	start := time.Now()
	for range passes {
		if err := p.PredictRows(rows, classes, scores); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds() / passes, nil
}

// loading prints how long a forest of 100,000 nodes takes to load, and what it
// takes of memory beside the file.
func loading(dir string, rounds int) error {
	path := filepath.Join(dir, "big.onnx")
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m, err := onnx.Load(bytes.NewReader(file), onnx.Limits{})
	if err != nil {
		return err
	}
	nodes := 0
	for _, n := range m.Graph.Nodes {
		if a := n.Attribute("nodes_nodeids"); a != nil {
			nodes += a.Ints.Len()
		}
	}
	size := len(file)
	var before, peak, after runtime.MemStats
	m, file = nil, nil
	_ = m
	_ = file
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := load(path)
	if err != nil {
		return err
	}
	runtime.ReadMemStats(&peak)
	runtime.GC()
	runtime.ReadMemStats(&after)
	took, err := loadTime(path, rounds)
	if err != nil {
		return err
	}
	mb := func(v uint64) float64 { return float64(v) / 1e6 }
	fmt.Printf("\nloading a forest of %d nodes, %.1f MB: %.0f ms (goal 50); memory %.1f MB kept, %.1f MB allocated (%.2f × the file; goal 3)\n",
		nodes, float64(size)/1e6, took*1e3, mb(after.HeapAlloc-before.HeapAlloc), mb(peak.TotalAlloc-before.TotalAlloc),
		float64(peak.TotalAlloc-before.TotalAlloc)/float64(size))
	runtime.KeepAlive(p)
	return nil
}

// loadTime returns the median of the seconds that loading a model takes.
func loadTime(path string, rounds int) (float64, error) {
	times := make([]float64, rounds)
	for i := range times {
		start := time.Now()
		if _, err := load(path); err != nil {
			return 0, err
		}
		times[i] = time.Since(start).Seconds()
	}
	return median(times), nil
}

func readRows(path string) ([]float32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rows := make([]float32, len(data)/4)
	for i := range rows {
		rows[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[i*4:]))
	}
	return rows, nil
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// An other is the Python process that runs onnxruntime.
type other struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startOther(python, dir string) (*other, error) {
	cmd := exec.Command(python, "-c", script, dir, "--measure")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start python: %w", err)
	}
	return &other{cmd, in, bufio.NewReader(out)}, nil
}

// measure asks for one pass and returns the seconds.
func (o *other) measure(name string, rows int) (float64, error) {
	if _, err := fmt.Fprintln(o.in, name, rows); err != nil {
		return 0, fmt.Errorf("ask python: %w", err)
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("read python's answer: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

func (o *other) stop() {
	_ = o.in.Close()
	_ = o.cmd.Wait()
}
