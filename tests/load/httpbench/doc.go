// Package httpbench holds Petal's whole POST /predict against other servers with
// the same request, side by side under wrk: a bare net/http server that answers a
// fixed JSON, the idiomatic Go variant, and FastAPI with scikit-learn. `make
// bench` runs it; it is skipped otherwise.
package httpbench
