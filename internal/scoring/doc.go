// Package scoring runs a model file on rows of a file or a stream, and tells
// beforehand whether and how well it can be run.
//
// Rows come as JSON or CSV, with cells of several types; [Score] reads
// them a batch at a time, so that neither input nor output need fit into memory.
package scoring
