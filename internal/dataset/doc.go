// Package dataset reads a CSV file into a matrix of features and class indices.
//
// The file is streamed once, in blocks that several goroutines parse and one
// hashes: its MD5 is DVC's own digest. What a good file holds takes a fast way
// that gives the same bits as package rows; for the rest that one is asked. What is wrong is reported with file, line, column and remedy
// as an [Error]. Rows are samples, columns features, a missing value is
// NaN, and classes are indices into the sorted labels.
package dataset
