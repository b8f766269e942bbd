package eval

import "github.com/petal-ml/petal/internal/onnx/eval/kernel"

// A Value is what a run takes and gives: a [*onnx.Tensor], or [*ProbabilityMaps].
type Value = kernel.Value

// ProbabilityMaps is what ZipMap makes: a sequence of maps, one a row, from label
// to score.
type ProbabilityMaps = kernel.ProbabilityMaps
