// Package promotion decides which version of a model is served: it compares two
// models on rows that neither was trained on, judges a candidate by the gate,
// and moves the aliases champion, challenger and previous.
//
// It knows nothing of how a model was made: any version whose probabilities can
// be computed takes part. Whoever changes an alias, the trainer or a person,
// does it here.
package promotion
