// Package smoke holds black-box tests of a running stack, from inside it:
//
//	docker compose run --rm tests
//
// They are compiled into an image of their own (build tag smoke) and find the
// services by the *_URL variables of the Compose file.
package smoke
