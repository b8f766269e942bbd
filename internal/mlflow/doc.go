// Package mlflow speaks to an MLflow server over REST and reads and writes
// MLflow's model directories. Everything peculiar about either stays in here:
// a server that answers 200 to what it dropped, numbers that come back as
// text, limits that cut in silence.
//
// It was written against MLflow 3.17 and uses none of its code.
package mlflow
