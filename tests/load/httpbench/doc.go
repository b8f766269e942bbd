// Package httpbench holds Petal's whole POST /predict against other servers with
// the same request, side by side under wrk: a bare net/http server that answers a
// fixed JSON, the idiomatic Go variant, FastAPI with scikit-learn, and `mlflow
// models serve` with the model that Petal trained. It measures batches and the
// first prediction, too. `make bench` runs it; it is skipped otherwise.
package httpbench
