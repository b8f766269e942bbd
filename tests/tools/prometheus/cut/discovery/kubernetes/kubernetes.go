// Package kubernetes takes the place of Prometheus's service discovery in
// Kubernetes, of which promtool needs the type. Petal's targets are static.
package kubernetes

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"

	"github.com/prometheus/prometheus/discovery"
)

// An SDConfig is never made: no name leads to it.
type SDConfig struct {
	HTTPClientConfig config.HTTPClientConfig
}

func (*SDConfig) Name() string { return "kubernetes" }

func (*SDConfig) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return nil, errors.ErrUnsupported
}

func (*SDConfig) NewDiscovererMetrics(prometheus.Registerer, discovery.RefreshMetricsInstantiator) discovery.DiscovererMetrics {
	return nil
}
