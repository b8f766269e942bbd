package httpapi

import "github.com/danielgtaylor/huma/v2"

// SpecificationForTest is the specification that a handler of [New] serves.
func SpecificationForTest() *huma.OpenAPI {
	return specification((&api{}).routes(), &samples{})
}
