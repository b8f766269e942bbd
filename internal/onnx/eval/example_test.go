package eval_test

import (
	"fmt"

	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

// A session compiles a model; a predictor sees it as a model of rows.
func ExampleNewPredictor() {
	session, err := eval.NewSession(onnxtest.Iris())
	if err != nil {
		fmt.Println(err)
		return
	}
	predictor, err := eval.NewPredictor(session)
	if err != nil {
		fmt.Println(err)
		return
	}

	row := []float32{5.1, 3.5, 1.4, 0.2}
	scores := make([]float32, predictor.NumScores())
	class, err := predictor.PredictRow(row, scores)
	fmt.Printf("%s %.3f %v\n", predictor.Labels().Text(class), scores[class], err)
	// Output:
	// setosa 0.985 <nil>
}

// What a model needs can be asked before it is compiled.
func ExampleMissingOperators() {
	model := onnxtest.Iris()
	fmt.Println(eval.MissingOperators(model))

	model.Graph.Nodes[0].Operator = "Convolve"
	fmt.Println(eval.MissingOperators(model))
	// Output:
	// []
	// [ai.onnx.ml.Convolve (version 3)]
}
