// Package hostile attacks the built API in as much memory as Compose gives it:
// with bodies on every face, with many clients, with a registry that somebody
// else fills, and with files that are none. Whatever comes, the process lives on
// and answers a row with the last good model.
//
// make test runs what is quick. With PETAL_HOSTILE=all, as make soak sets it,
// every data type and a thousand clients have their turn.
package hostile
