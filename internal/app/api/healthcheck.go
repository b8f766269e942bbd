package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/petal-ml/petal/internal/settings"
)

// healthTimeout bounds a health check.
const healthTimeout = 3 * time.Second

type healthcheckCommand struct{}

// Run asks GET /ready of the API that listens on API_ADDRESS.
func (healthcheckCommand) Run(ctx context.Context, p *Process) error {
	cfg, err := settings.Load[settings.API](p.Dir, p.Environ)
	if err != nil {
		return err
	}
	url := localURL(string(cfg.Address), cfg.TLS()) + "/ready"
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
		return fmt.Errorf("the API does not answer: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only looked at
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API is not ready: GET %s answers %s", url, resp.Status)
	}
	_, err = fmt.Fprintln(p.Stdout, "ready")
	return err
}

// localURL is where this machine finds its own API.
func localURL(address string, tls bool) string {
	scheme := "http://"
	if tls {
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
