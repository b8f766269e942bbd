package dashboards

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// A server is a real Prometheus with nothing to scrape: it parses queries.
type server struct {
	t   *testing.T
	url string
}

func startPrometheus(t *testing.T) *server {
	t.Helper()
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	require.NoError(t, os.WriteFile(config, []byte("scrape_configs: []\n"), 0o600))
	address := testenv.FreeAddress(t)
	process := testenv.Start(t, testenv.Command{
		Path: testenv.GoTool(t, "prometheus"),
		Args: []string{
			"--config.file=" + config, "--storage.tsdb.path=" + t.TempDir(),
			"--web.listen-address=" + address, "--log.level=error",
		},
	})
	process.WaitReady("http://"+address+"/-/ready", time.Minute)
	return &server{t: t, url: "http://" + address}
}

// get returns the body of an answer, whatever its status.
func (s *server) get(path string) []byte {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	response, err := http.DefaultClient.Do(request) //nolint:gosec // the test's own server
	require.NoError(s.t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return body
}

// A selector is a metric as a query names it.
type selector struct {
	Name     string
	Matchers map[string]string // by label, whatever the operator
	Function string            // the innermost function around it, or ""
}

// parse lets Prometheus's own parser read a query, and returns the metrics that
// it selects.
func (s *server) parse(query string) []selector {
	s.t.Helper()
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   node   `json:"data"`
	}
	body := s.get("/api/v1/parse_query?query=" + url.QueryEscape(query))
	require.NoError(s.t, json.Unmarshal(body, &answer), "%s", body)
	require.Equal(s.t, "success", answer.Status, "%s: %s", query, answer.Error)
	return answer.Data.selectors("")
}

// A node is one of Prometheus's syntax tree. Fields that hold no nodes are left
// out; which field holds one depends on the type.
type node struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Matchers []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"matchers"`
	Func *struct {
		Name string `json:"name"`
	} `json:"func"`
	Expr *node  `json:"expr"`
	LHS  *node  `json:"lhs"`
	RHS  *node  `json:"rhs"`
	Args []node `json:"args"`
}

func (n *node) selectors(function string) []selector {
	if n == nil {
		return nil
	}
	if n.Type == "vectorSelector" || n.Type == "matrixSelector" {
		found := selector{Name: n.Name, Matchers: make(map[string]string), Function: function}
		for _, matcher := range n.Matchers {
			found.Matchers[matcher.Name] = matcher.Value
		}
		return []selector{found}
	}
	if n.Func != nil {
		function = n.Func.Name
	}
	var all []selector
	for _, child := range append([]node{}, n.Args...) {
		all = append(all, child.selectors(function)...)
	}
	for _, child := range []*node{n.Expr, n.LHS, n.RHS} {
		all = append(all, child.selectors(function)...)
	}
	return all
}
