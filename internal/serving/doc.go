// Package serving holds the model that answers requests.
//
// A [Follower] watches an alias in a registry. When the alias points at another
// version it downloads the model, checks it against the digest in the version's
// tags, compiles it, warms it, keeps a copy on disk and swaps it in with one
// atomic store: requests under way finish on the model they began with. A
// version that cannot be used, or a registry that cannot be reached, leaves the
// last good model serving. The copy on disk lets a process start, and serve at
// once, while the registry is down.
package serving
