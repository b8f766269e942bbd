// Package onnx reads, validates, writes and evaluates ONNX models in plain Go,
// without cgo and without onnxruntime. It is made for tabular models: the
// operators of ai.onnx.ml, and those of ai.onnx that converters such as
// skl2onnx and onnxmltools emit around them.
//
// The package works in four stages, each of which can be used alone:
//
//   - [Load] reads a file under [Limits] and refuses whatever is not a
//     well-formed model; [Model.Marshal] writes one, the same bytes each time.
//   - [NewSession] compiles a model: operators are looked up by name, types and
//     shapes are inferred, constants folded, unused nodes dropped.
//   - [Session.Run] evaluates the compiled graph on named inputs.
//   - [NewPredictor] sees a session as a classifier or regressor of rows, and
//     takes a fast path without allocation where the graph has a common shape.
//
// The meaning of every operator follows the ONNX specification; where that
// leaves room, it follows onnxruntime, against which the tests compare.
package onnx
