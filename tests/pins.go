// Package tests holds what crosses processes: the tests in the folders below it,
// the environment that they share (package testenv) and the pins of the Python
// programs that they run Petal against.
package tests

import _ "embed" // for the pins

// Requirements is requirements.txt: the Python programs that the tests use, each
// with its version.
//
//go:embed requirements.txt
var Requirements string

// Constraints is constraints.txt: the versions of everything that those programs
// pull in.
//
//go:embed constraints.txt
var Constraints string
