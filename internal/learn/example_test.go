package learn_test

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/onnx"
)

// A pipeline is fitted on a matrix and written as an ONNX model.
func ExamplePipeline() {
	x := mat.NewDense(4, 1, []float64{1, 2, 8, 9}) // four rows, one feature
	y := []int{0, 0, 1, 1}                         // their classes

	pipeline := &learn.Pipeline{
		Steps:      []learn.Transformer{&preprocessing.StandardScaler{}},
		Classifier: linear.NewLogisticRegression(),
	}
	if err := pipeline.Fit(context.Background(), x, y, 2, learn.Options{}); err != nil {
		fmt.Println(err)
		return
	}

	proba, err := pipeline.PredictProba(mat.NewDense(2, 1, []float64{0, 10}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(learn.Predict(proba))

	model, err := learn.ToONNX(pipeline, 1, onnx.Labels{Strings: []string{"low", "high"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, node := range model.Graph.Nodes {
		fmt.Println(node.Operator)
	}
	// Output:
	// [0 1]
	// Scaler
	// LinearClassifier
	// Normalizer
	// Identity
	// ZipMap
}
