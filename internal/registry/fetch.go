package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
)

// Names and limits of the files that are fetched beside the ONNX file.
const (
	exampleFile    = "input_example.json"
	maxMLmodelSize = 4 << 20
	maxExampleSize = 1 << 20
)

// errTooLarge means that a file of the model is larger than allowed.
var errTooLarge = errors.New("too large")

// Fetch downloads what serving needs of a version: up to maxModelSize bytes of
// ONNX, or 256 MiB where that is zero.
func Fetch(ctx context.Context, r registry.Reader, v registry.Version, alias string, maxModelSize int64) (Bundle, error) {
	if maxModelSize <= 0 {
		maxModelSize = defaultMaxModelSize
	}
	b := Bundle{Version: v, Alias: alias}
	var err error
	if b.MLmodel, err = read(ctx, r, v, mlmodel.ModelFile, maxMLmodelSize); err != nil {
		return b, err
	}
	file, err := mlmodel.Parse(b.MLmodel)
	if err != nil {
		return b, err
	}
	if file.ONNXFile == "" {
		return b, fmt.Errorf("%s has no onnx flavor: only models logged as ONNX can be served", mlmodel.ModelFile)
	}
	if size, err := strconv.ParseInt(v.Tags[registry.TagSize], 10, 64); err == nil && size > maxModelSize {
		return b, fmt.Errorf("%s: %w: %d bytes, %d are allowed", file.ONNXFile, errTooLarge, size, maxModelSize)
	}
	if b.ONNX, err = read(ctx, r, v, file.ONNXFile, maxModelSize); err != nil {
		return b, err
	}
	b.Example, err = read(ctx, r, v, exampleFile, maxExampleSize)
	if errors.Is(err, registry.ErrNotFound) || errors.Is(err, errTooLarge) {
		b.Example, err = nil, nil // it is only a courtesy
	}
	return b, err
}

// read downloads one file, up to a limit.
func read(ctx context.Context, r registry.Reader, v registry.Version, path string, limit int64) ([]byte, error) {
	rc, err := r.Open(ctx, v, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer rc.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(rc, limit+1))
	switch {
	case err != nil:
		// A download that breaks off may work the next time.
		return nil, fmt.Errorf("read %s: %w: %w", path, registry.ErrUnavailable, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s: %w: more than the %d bytes allowed", path, errTooLarge, limit)
	}
	return data, nil
}
