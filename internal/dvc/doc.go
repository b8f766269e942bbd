// Package dvc pulls files that DVC tracks, without DVC: it reads the pointer
// (FILE.dvc), the configuration and the objects of a remote, and verifies every
// byte against the pointer's MD5.
//
// Formats: https://dvc.org/doc/user-guide/project-structure. What this package
// leaves behind (the file, the object in .dvc/cache) is what DVC 3 leaves, so
// that both can be used in turn. Unlike DVC it trusts no object for its mode or
// name: each is hashed again.
package dvc
