// Package rows reads rows of cells from CSV and from JSON.
//
// Whoever reads a table reads it here: the trainer its data, `api model predict`
// its input, the API the bodies of requests. So they agree on what a record, a
// number and a missing value are. What the cells mean, and which of them a model
// takes, is the caller's business.
package rows
