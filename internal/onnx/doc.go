// Package onnx reads, validates and writes ONNX models in plain Go. It is made
// for tabular models: the operators of ai.onnx.ml, and those of ai.onnx that
// converters such as skl2onnx and onnxmltools emit around them.
//
// [Load] reads a file under [Limits] and refuses whatever is not a well-formed
// model; [Model.Marshal] writes one, the same bytes each time. Package eval
// evaluates what was read.
package onnx
