// Package mlflow speaks to an MLflow server over REST. Everything peculiar about
// it stays in here: a server that answers 200 to what it dropped, numbers that
// come back as text, limits that cut in silence. The files that models consist
// of are those of package mlmodel.
//
// It was written against MLflow 3.17 and uses none of its code.
package mlflow
