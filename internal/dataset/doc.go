// Package dataset reads a CSV file into a matrix of features and class indices.
//
// The file is streamed once: its MD5, which is DVC's own digest, is computed on
// the way, and what is wrong with it is reported with file, line, column and
// remedy as an [Error]. Rows are samples, columns features, a missing value is
// NaN, and classes are indices into the sorted labels.
package dataset
