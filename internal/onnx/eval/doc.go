// Package eval evaluates ONNX models in plain Go, without cgo and without
// onnxruntime.
//
//   - [NewSession] compiles a model: operators are looked up by name, types and
//     shapes are inferred, constants folded, unused nodes dropped.
//   - [Session.Run] evaluates the compiled graph on named inputs.
//   - [NewPredictor] sees a session as a classifier or regressor of rows, and
//     takes a fast path without allocation where the graph has a common shape.
//
// The meaning of every operator follows the ONNX specification; where that
// leaves room, it follows onnxruntime, against which the tests compare.
package eval
