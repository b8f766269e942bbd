// Package httpapi is the API over HTTP: the list of all routes and the server
// that answers them.
//
// A folder below holds each dialect: native, oauth, mlflow and inference; openapi
// describes them all. A dialect lists its routes; its handlers return errors as
// values (package problem), which the dialect of the route puts into its words.
// Who may not ask is told so before a byte of the body is read.
package httpapi
