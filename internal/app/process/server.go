package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/version"
)

// Listen takes a TCP address. The error says what to do, and names the variable
// that the address comes from.
func Listen(ctx context.Context, address settings.Address, variable string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", string(address))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is in use; stop the program that has it, or set %s to another address", address, variable)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: not permitted; set %s to a port above 1023", address, variable)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w; set %s to an address of this machine", address, err, variable)
	}
	return listener, nil
}

// healthTimeout bounds a health check. It is less than what container runtimes
// grant.
const healthTimeout = 3 * time.Second

// CheckHealth asks a path of the server that listens on an address of this
// machine. Any answer but 200 is an error.
func CheckHealth(ctx context.Context, address settings.Address, secure bool, path string) error {
	url := localURL(string(address), secure) + path
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{
		// The program asks itself on this machine: the name in the certificate
		// is that of the outside.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // G402: see above
	}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the status counts
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: GET %s answers %s", url, resp.Status)
	}
	return nil
}

// localURL is where this machine finds its own server.
func localURL(address string, secure bool) string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return scheme + address
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip.IsUnspecified() && ip.Is4():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return scheme + net.JoinHostPort(host, port)
}

// NewMetrics returns a registry of metrics with those that every process has:
// its build, Go's runtime, and what the system knows of it.
func NewMetrics() *prometheus.Registry {
	v := version.Current()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "petal_build_info", Help: "The build of this program; always 1.",
		ConstLabels: prometheus.Labels{"version": v.Version, "goversion": v.GoVersion, "revision": v.Revision},
	})
	build.Set(1)
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return metrics
}
