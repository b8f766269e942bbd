// Package promtest asks a real Prometheus about queries: its own parser tells which
// metrics one selects.
package promtest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// A Server is a running Prometheus.
type Server struct{ URL string }

// Start starts a Prometheus that has nothing to scrape.
func Start(t *testing.T) Server {
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
	return Server{URL: "http://" + address}
}

// Get decodes the data of an answer of the HTTP API, which must be a success.
func (s Server) Get(t *testing.T, path string, parameters url.Values, data any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path+"?"+parameters.Encode(), http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	require.Equal(t, "success", answer.Status, "%s %v: %s", path, parameters, answer.Error)
	require.NoError(t, json.Unmarshal(answer.Data, data), "%s", answer.Data)
}

// A Selector is a metric as a query names it.
type Selector struct {
	Name     string
	Text     string            // the selector alone, as a query
	Matchers map[string]string // by label, whatever the operator
	Function string            // the innermost function around it, or ""
}

// Parse lets Prometheus's own parser read a query, and returns the metrics that it
// selects.
func (s Server) Parse(t *testing.T, query string) []Selector {
	t.Helper()
	var root node
	s.Get(t, "/api/v1/parse_query", url.Values{"query": {query}}, &root)
	return root.selectors("")
}

// A node is one of Prometheus's syntax tree. Fields that hold no nodes are left
// out; which field holds one depends on the type.
type node struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Matchers []struct {
		Name  string `json:"name"`
		Type  string `json:"type"`
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

func (n *node) selectors(function string) []Selector {
	if n == nil {
		return nil
	}
	if n.Type == "vectorSelector" || n.Type == "matrixSelector" {
		found := Selector{Name: n.Name, Matchers: make(map[string]string), Function: function}
		texts := make([]string, 0, len(n.Matchers))
		for _, matcher := range n.Matchers {
			found.Matchers[matcher.Name] = matcher.Value
			texts = append(texts, matcher.Name+matcher.Type+strconv.Quote(matcher.Value))
		}
		found.Text = "{" + strings.Join(texts, ",") + "}"
		return []Selector{found}
	}
	if n.Func != nil {
		function = n.Func.Name
	}
	var all []Selector
	for _, child := range append([]node{}, n.Args...) {
		all = append(all, child.selectors(function)...)
	}
	for _, child := range []*node{n.Expr, n.LHS, n.RHS} {
		all = append(all, child.selectors(function)...)
	}
	return all
}
