package httpapi

import (
	"log/slog"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/httpapi/openapi"
	"github.com/petal-ml/petal/internal/httpapi/route"
)

// SpecificationForTest is the specification that a handler of [New] serves.
func SpecificationForTest() *huma.OpenAPI {
	all, err := dialects(Config{Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	return openapi.Specification(all, &route.Samples{}, "")
}
