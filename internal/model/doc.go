// Package model makes one servable model of the files of a model's directory.
//
// [Open] compares the ONNX file with the digest that a registry noted, reads the
// MLmodel file, compiles the graph and tries it. The [Model] knows the names and
// kinds of its features and its labels, checks rows, scores them and explains the
// scores. A row is numbers, or typed cells where the graph takes text, booleans or
// whole numbers too.
package model
