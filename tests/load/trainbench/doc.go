// Package trainbench holds training against scikit-learn, pandas and MLflow's
// client: the same data, the same work, in turns on the same machine. `make
// bench` runs it; it is skipped otherwise.
package trainbench
