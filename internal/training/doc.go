// Package training is the pipeline from a data file to a champion: pull and
// verify the data, split them, cross-validate the candidates, fit the best one
// on the training rows, judge it on the hold-out, write it as ONNX, log the run,
// pass the gate, register, and move the alias.
//
// The order of writes is what keeps the champion whole: its alias is moved last,
// after the run was read back, so that a failure, an interruption or a kill at
// any moment leaves the old champion as it was.
package training
