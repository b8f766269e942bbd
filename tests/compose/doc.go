// Package compose holds the tests of the whole stack: the unchanged
// docker-compose.yml and Dockerfiles on a real Docker Engine.
//
// No image registry can be reached where Petal is built and tested. There, as
// root on Debian, the tests start an engine of their own and give it stand-ins
// under the published names: the same programs, built or installed from other
// sources. They prove the wiring, not the upstream images. Where a Docker Engine
// is running already, the tests use it, with the published images.
package compose
