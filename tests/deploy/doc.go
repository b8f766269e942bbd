// Package deploy holds the tests of what starts the stack, as far as they need no
// container engine: tests/compose has the others.
package deploy
