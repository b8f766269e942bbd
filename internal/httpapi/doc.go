// Package httpapi is Petal's face on HTTP: routes, authentication, limits,
// strict reading of bodies, and the shape of every answer and error.
//
// Errors are RFC 9457 problem documents, except at /token, which speaks
// RFC 6749. Whoever may not come in hears so before a byte of the body is read.
// Nothing that a client sent is repeated to it, and no text of Go's own errors
// leaves the process.
package httpapi
