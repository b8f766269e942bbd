package onnx_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

// A file from outside is read within limits and checked whole.
func ExampleLoad() {
	file := onnxtest.Iris().Marshal()

	model, err := onnx.Load(bytes.NewReader(file), onnx.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, input := range model.Inputs() {
		fmt.Println("input", input.Name, input.Type)
	}
	for _, output := range model.Outputs() {
		fmt.Println("output", output.Name)
	}

	_, err = onnx.Load(bytes.NewReader(file[:100]), onnx.Limits{})
	fmt.Println(errors.Is(err, onnx.ErrInvalid))
	// Output:
	// input features tensor(float)[N,4]
	// output label
	// output probabilities
	// true
}
