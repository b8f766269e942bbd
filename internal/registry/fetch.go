package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/petal-ml/petal/internal/mlmodel"
)

// Names and limits of the files that are fetched beside the ONNX file.
const (
	exampleFile    = "input_example.json"
	maxMLmodelSize = 2 << 20
	maxExampleSize = 1 << 20
)

// DefaultMaxModelSize bounds the ONNX file, in bytes, where nobody says otherwise.
const DefaultMaxModelSize = 256 << 20

// errTooLarge means that a file of the model is larger than allowed.
var errTooLarge = errors.New("too large")

// ModelFiles are the files of a version that its model is opened from.
type ModelFiles struct {
	MLmodel []byte
	ONNX    []byte
	Example []byte // input_example.json; nil where there is none
}

// Fetch downloads the files of a version that its model is opened from: up to
// maxModelSize bytes of ONNX, or [DefaultMaxModelSize] where that is zero.
func Fetch(ctx context.Context, r Reader, v Version, maxModelSize int64) (ModelFiles, error) {
	maxModelSize = cmp.Or(maxModelSize, DefaultMaxModelSize)
	var files ModelFiles
	var err error
	if files.MLmodel, err = ReadFile(ctx, r, v, mlmodel.ModelFile, maxMLmodelSize); err != nil {
		return files, err
	}
	file, err := mlmodel.Parse(files.MLmodel)
	if err != nil {
		return files, err
	}
	if file.ONNXFile == "" {
		return files, fmt.Errorf("%s has no onnx flavor: only models logged as ONNX can be served", mlmodel.ModelFile)
	}
	if size, err := strconv.ParseInt(v.Tags[TagSize], 10, 64); err == nil && size > maxModelSize {
		return files, fmt.Errorf("%s: %w: %d bytes, %d are allowed", file.ONNXFile, errTooLarge, size, maxModelSize)
	}
	if files.ONNX, err = ReadFile(ctx, r, v, file.ONNXFile, maxModelSize); err != nil {
		return files, err
	}
	files.Example, err = ReadFile(ctx, r, v, exampleFile, maxExampleSize)
	if errors.Is(err, ErrNotFound) || errors.Is(err, errTooLarge) {
		files.Example, err = nil, nil // it is only a courtesy
	}
	return files, err
}

// ReadFile downloads one file of a version, up to a limit in bytes.
func ReadFile(ctx context.Context, r Reader, v Version, path string, limit int64) ([]byte, error) {
	rc, err := r.Open(ctx, v, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer rc.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(rc, limit+1))
	switch {
	case err != nil:
		// A download that breaks off may work the next time.
		return nil, fmt.Errorf("read %s: %w: %w", path, ErrUnavailable, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s: %w: more than the %d bytes allowed", path, errTooLarge, limit)
	}
	return data, nil
}
