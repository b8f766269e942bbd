// Package onnx holds internal/onnx against onnxruntime and the onnx package: on
// models that skl2onnx and onnxmltools export from real estimators, and on the
// backend test cases of the operators.
//
// Python exports once for each version of its script and pins, into the cache
// folder of the tests; the comparison itself is Go.
package onnx
