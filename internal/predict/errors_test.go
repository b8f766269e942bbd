package predict

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
)

// A graph that makes too much of a batch is no fault of ours: fewer rows may pass.
func TestMemoryOfRuns(t *testing.T) {
	require.ErrorIs(t, inputError(fmt.Errorf("predict: %w", onnx.At(onnx.ErrLimit, "node")), 0, false), ErrTooLarge)
	require.ErrorIs(t, inputError(fmt.Errorf("predict: %w", onnx.At(onnx.ErrBusy, "node")), 0, false), ErrOverloaded)
}
