package mlflowregistry

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/registry/registrytest"
	"github.com/petal-ml/petal/tests/testenv"
)

func TestConformance(t *testing.T) {
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	registrytest.Run(t, func(t *testing.T) registrytest.Subject {
		target, err := url.Parse(server.URL)
		require.NoError(t, err)
		// Closing a proxy breaks this test's way to the server and no other's.
		proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
		t.Cleanup(proxy.Close)
		s := open(t, proxy.URL)
		return registrytest.Subject{Registry: s, ReadRun: s.ReadRun, Break: proxy.Close}
	})
}

func open(t *testing.T, uri string) *Store {
	t.Helper()
	s, err := Open(Options{
		Client:     mlflow.Options{TrackingURI: uri, RetryFor: 2 * time.Second, Timeout: 30 * time.Second},
		Experiment: "conformance",
	})
	require.NoError(t, err)
	t.Cleanup(s.client.Close)
	return s
}
