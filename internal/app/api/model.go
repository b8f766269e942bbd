package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/regularfile"
	"github.com/petal-ml/petal/internal/scoring"
	"github.com/petal-ml/petal/internal/settings"
)

// modelCommands need neither users nor a running API.
type modelCommands struct {
	Check   modelCheckCommand   `cmd:"" help:"Tell whether a model can be served, how fast, and what is missing."`
	Predict modelPredictCommand `cmd:"" help:"Score the rows of a file or of standard input, one JSON object a row."`
}

const modelArgument = "A model: an ONNX file, a model directory, or models:/NAME@ALIAS."

type modelPredictCommand struct {
	Model  string `arg:"" name:"model" help:"${model_argument}"`
	Input  string `required:"" help:"Rows: a .json, .jsonl or .csv file, or - for standard input."`
	Format string `enum:"auto,json,csv" default:"auto" help:"How the rows are written: json or csv. Default: as the file's name says, json for -."`
	Raw    bool   `help:"Write the graph's own outputs in place of label and probabilities."`
}

// Run writes a prediction a row to standard output.
func (c *modelPredictCommand) Run(ctx context.Context, p *Process) (err error) {
	p.LimitMemory(slog.New(slog.DiscardHandler))
	format, err := c.format()
	if err != nil {
		return err
	}
	files, err := modelFiles(ctx, p, c.Model)
	if err != nil {
		return err
	}
	m, err := model.OpenOffline(ctx, files, p.Opener().Limits(), c.Raw)
	if err != nil {
		return fmt.Errorf("load %s: %w", c.Model, err)
	}
	var rows io.Reader = p.Stdin
	if c.Input != "-" {
		f, err := regularfile.Open(inDir(p, c.Input))
		if err != nil {
			return fmt.Errorf("open rows: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		var done func()
		rows, done = withProgress(p, f)
		defer done()
	}
	if _, err := scoring.Score(ctx, m, rows, p.Stdout, scoring.Options{Format: format, Raw: c.Raw}); err != nil {
		return fmt.Errorf("%s: %w", c.Input, err)
	}
	return nil
}

// format is how the rows are written.
func (c *modelPredictCommand) format() (scoring.Format, error) {
	switch {
	case c.Format == "csv":
		return scoring.CSV, nil
	case c.Format == "json" || c.Input == "-":
		return scoring.JSON, nil
	}
	switch strings.ToLower(filepath.Ext(c.Input)) {
	case ".csv":
		return scoring.CSV, nil
	case ".json", ".jsonl", ".ndjson":
		return scoring.JSON, nil
	default:
		return 0, fmt.Errorf("the name %s does not say how the rows are written: add --format json or --format csv", c.Input)
	}
}

// withProgress shows how much of a file has been read, where standard error is
// a terminal and the predictions go elsewhere.
func withProgress(p *Process, f *os.File) (rows io.Reader, done func()) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !settings.IsTerminal(p.Stderr) || settings.IsTerminal(p.Stdout) {
		return f, func() {}
	}
	bar := progressbar.NewOptions64(info.Size(),
		progressbar.OptionSetWriter(p.Stderr),
		progressbar.OptionSetDescription("scoring"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)
	reader := progressbar.NewReader(f, bar)
	return &reader, func() { _ = bar.Clear() }
}

// modelFiles reads a model from where the argument says.
func modelFiles(ctx context.Context, p *Process, argument string) (model.Files, error) {
	if reference, ok := strings.CutPrefix(argument, "models:/"); ok {
		return registeredFiles(ctx, p, reference)
	}
	return localFiles(inDir(p, argument))
}

// registeredFiles downloads a model of the registry.
func registeredFiles(ctx context.Context, p *Process, reference string) (model.Files, error) {
	name, alias, ok := strings.Cut(reference, "@")
	if !ok || name == "" || alias == "" {
		return model.Files{}, fmt.Errorf("models:/%s: write it as models:/NAME@ALIAS", reference)
	}
	cfg, err := settings.Load[settings.API](p.Dir, p.Environ)
	if err != nil {
		return model.Files{}, err
	}
	reader, err := process.OpenRegistry(cfg.Registry, p.Dir, process.Patience{RetryFor: registryRetry, Timeout: registryTimeout}, p.Logger(cfg.Log, true))
	if err != nil {
		return model.Files{}, fmt.Errorf("open registry: %w", err)
	}
	version, err := reader.Resolve(ctx, name, alias)
	if err != nil {
		return model.Files{}, fmt.Errorf("find models:/%s: %w", reference, err)
	}
	files, err := registry.Fetch(ctx, reader, version, p.Opener().MaxFile())
	if err != nil {
		return model.Files{}, fmt.Errorf("fetch models:/%s: %w", reference, err)
	}
	return model.Files(files), nil
}

// maxLocalBytes is as long as a protobuf message, and so an ONNX file, can be.
const maxLocalBytes = 2 << 30

// localFiles reads an ONNX file or a model directory. An ONNX file in a model
// directory gets what stands there beside it.
func localFiles(path string) (model.Files, error) {
	info, err := os.Stat(path)
	if err != nil {
		return model.Files{}, fmt.Errorf("open model: %w", err)
	}
	dir, file := path, ""
	if !info.IsDir() {
		dir, file = filepath.Split(path)
	}
	var f model.Files
	f.MLmodel, err = regularfile.Read(filepath.Join(dir, mlmodel.ModelFile), maxLocalBytes)
	switch {
	case err == nil:
		m, err := mlmodel.Parse(f.MLmodel)
		switch {
		case file != "" && (err != nil || m.ONNXFile != file):
			f.MLmodel = nil // it is about another model
		case err != nil:
			return f, err
		case m.ONNXFile == "":
			return f, fmt.Errorf("%s has no onnx flavor: only models logged as ONNX can be scored", filepath.Join(dir, mlmodel.ModelFile))
		default:
			file = m.ONNXFile
		}
	case file == "":
		return f, fmt.Errorf("open model: %w", err)
	case !errors.Is(err, fs.ErrNotExist):
		return f, fmt.Errorf("read what stands beside the model: %w", err)
	}
	f.ONNX, err = regularfile.Read(filepath.Join(dir, filepath.FromSlash(file)), maxLocalBytes)
	if err != nil {
		return f, fmt.Errorf("open model: %w", err)
	}
	if f.MLmodel != nil {
		f.Example, err = regularfile.Read(filepath.Join(dir, "input_example.json"), maxLocalBytes)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f, fmt.Errorf("read the input example: %w", err)
		}
	}
	return f, nil
}

// inDir takes a path as seen from the process's folder.
func inDir(p *Process, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(p.Dir, path)
}
