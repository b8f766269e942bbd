// Package operators holds the operators, family by family: how each is compiled,
// and its kernel. docs/operators.md says how to add one.
package operators

import (
	"sync"

	"github.com/petal-ml/petal/internal/onnx/eval/compile"
)

// Table holds all operators, family by family.
var Table = sync.OnceValue(func() compile.Table {
	return compile.NewTable(
		linearOperators(),
		treeOperators(),
		preprocessingOperators(),
		castOperators(),
		encoderOperators(),
		svmOperators(),
		elementwiseOperators(),
		activationOperators(),
		wholeOperators(),
		normalizationOperators(),
		quantizationOperators(),
		scatterOperators(),
		reductionOperators(),
		matrixOperators(),
		shapeOperators(),
		gatherOperators(),
		controlOperators(),
	)
})
