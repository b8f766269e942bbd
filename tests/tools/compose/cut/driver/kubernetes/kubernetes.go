// Package kubernetes takes the place of buildx's driver for builders in
// Kubernetes, which Compose imports to register it. The tests build with the
// engine's own builder.
package kubernetes
