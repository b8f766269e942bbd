// Package soak keeps Petal's API under load while models are swapped, replicas
// restarted, more is asked than can be done, and connections held for no good:
// nobody who behaves may notice. `make soak` runs it, for ten minutes and some;
// it is skipped otherwise.
package soak
