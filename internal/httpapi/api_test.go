package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/access"
	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/internal/httpapi"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/token"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

const (
	testUser     = "student"
	testPassword = "quiet-harbour-lantern-62"
	testKey      = "vQ7m2Zc9R4xT1pL8sK3wN6yB5dF0hJqU"
	maxBody      = 4096
)

var timeouts = httpapi.Timeouts{Read: 15 * time.Second, Write: 30 * time.Second, Idle: time.Minute}

// A fixture is the whole API on a real socket, with a real model, real accounts
// in SQLite and real tokens.
type fixture struct {
	*httptest.Server
	models   holder
	accounts *account.Service
	guard    *account.Guard
	keys     *token.Keyring
	metrics  *prometheus.Registry
	log      *testenv.Buffer
	token    string
	handler  http.Handler // behind the socket
	service  *predict.Service
}

// holder hands out one model, or none.
type holder struct{ atomic.Pointer[serving.Live] }

func (h *holder) Current() *serving.Live { return h.Load() }

// A config is what a fixture is made of.
type config struct {
	httpapi.Config
	predict predict.Config
}

// database is one with the test's user in it. It is made once: its tables and the
// password's hash take longer than most tests.
var database = sync.OnceValues(func() (users []byte, err error) {
	dir, err := os.MkdirTemp("", "petal-users-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "users.db")
	store, err := sqlstore.Open(context.Background(), sqlstore.SQLite, path)
	if err != nil {
		return nil, err
	}
	accounts := account.New(account.Config{Store: store, StateDir: dir, Log: slog.New(slog.DiscardHandler)})
	_, err = accounts.Add(context.Background(), testUser, testPassword, nil)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func newFixture(t testing.TB, change ...func(*config, *http.Server)) *fixture {
	t.Helper()
	f := &fixture{metrics: prometheus.NewPedanticRegistry(), log: new(testenv.Buffer)}
	log := slog.New(slog.NewTextHandler(f.log, nil))
	users, err := database()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "users.db")
	require.NoError(t, os.WriteFile(path, users, 0o600))
	store, err := sqlstore.Open(t.Context(), sqlstore.SQLite, path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	f.accounts = account.New(account.Config{Store: store, StateDir: t.TempDir(), Log: log})
	f.keys, err = token.NewKeyring([]byte(testKey))
	require.NoError(t, err)
	issuer, err := token.NewIssuer(f.keys, token.DefaultConfig(30*time.Minute))
	require.NoError(t, err)
	verifier, err := token.NewVerifier(f.keys, token.DefaultConfig(30*time.Minute))
	require.NoError(t, err)
	f.guard, err = account.StartGuard(t.Context(), account.GuardConfig{Store: store, Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.guard.Close()) })
	f.models.Store(load(t, servingtest.Iris(t), "3"))

	cfg := config{
		Config: httpapi.Config{
			Accounts: f.accounts, Issuer: issuer, KeySet: f.keys.JWKS,
			PredictMaxBytes: maxBody, BatchMaxBytes: 1 << 20, Timeouts: timeouts, Log: log, Registry: f.metrics,
		},
		predict: predict.Config{Models: &f.models, Bearers: access.NewGate(verifier, f.guard), Metrics: f.metrics},
	}
	server := httpapi.NewServer(nil, timeouts, true, log)
	for _, c := range change {
		c(&cfg, server)
	}
	cfg.Predict, err = predict.New(cfg.predict)
	require.NoError(t, err)
	f.service = cfg.Predict
	handler, err := httpapi.New(cfg.Config)
	require.NoError(t, err)
	f.handler = handler
	server.Handler = checkSpec(t, handler)
	f.Server = httptest.NewUnstartedServer(nil)
	f.Config = server
	f.Start()
	t.Cleanup(f.Close)
	f.token = f.issue(t, token.Grant{Subject: testUser, Scopes: account.DefaultScopes()})
	return f
}

func (f *fixture) issue(t testing.TB, g token.Grant) string {
	t.Helper()
	issuer, err := token.NewIssuer(f.keys, token.DefaultConfig(30*time.Minute))
	require.NoError(t, err)
	raw, _, err := issuer.Issue(g)
	require.NoError(t, err)
	return raw
}

func load(t testing.TB, dir mlmodel.Dir, number string) *serving.Live {
	t.Helper()
	return loadNamed(t, dir, "iris", number)
}

func loadNamed(t testing.TB, dir mlmodel.Dir, name, number string) *serving.Live {
	t.Helper()
	files, err := dir.Files(mlmodel.IDs{ModelID: "m-1", RunID: "run-1"})
	require.NoError(t, err)
	m, err := serving.Load(t.Context(), nil, serving.Bundle{
		Version: registry.Version{Name: name, Number: number, RunID: "run-1"}, Alias: "champion",
		Files: model.Files{MLmodel: files["MLmodel"], ONNX: files["model.onnx"], Example: files["input_example.json"]},
	})
	require.NoError(t, err)
	return m
}

// An answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	closed bool // the server said that it closes the connection
}

func (f *fixture) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	if body == "" {
		req.Body = nil
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	resp, err := f.Client().Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(content), resp.Close}
}

func (f *fixture) predict(t *testing.T, body string) answer {
	t.Helper()
	return f.do(t, http.MethodPost, "/predict", body, "Authorization", "Bearer "+f.token, "Content-Type", "application/json")
}

func (f *fixture) login(t *testing.T, form string) answer {
	t.Helper()
	return f.do(t, http.MethodPost, "/token", form, "Content-Type", "application/x-www-form-urlencoded")
}

func form(pairs ...string) string {
	v := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		v.Add(pair[0], pair[1])
	}
	return v.Encode()
}

// raw writes bytes to a socket and reads one answer.
func (f *fixture) raw(t *testing.T, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(content), resp.Close}
}

// requireProblem checks the shape of an RFC 9457 answer and returns it.
func requireProblem(t *testing.T, a answer, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	var p map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &p))
	require.EqualValues(t, status, p["status"])
	require.Equal(t, a.header.Get("X-Request-Id"), p["request_id"])
	require.Contains(t, p["type"], "urn:petal:problem:")
	require.NotEmpty(t, p["title"])
	require.NotEmpty(t, p["detail"])
	for _, word := range []string{"strconv", "json:", "invalid character", "unmarshal", "cannot", "goroutine", ".go"} {
		require.NotContains(t, a.body, word, "an answer repeats Go's own words")
	}
	return p
}

// requireFault checks that a problem is that of one place in the request, which its
// detail names first.
func requireFault(t *testing.T, problem map[string]any, location string) {
	t.Helper()
	require.Equal(t, "urn:petal:problem:invalid-input", problem["type"])
	faults, ok := problem["errors"].([]any)
	require.True(t, ok)
	require.Len(t, faults, 1)
	fault, ok := faults[0].(map[string]any)
	require.True(t, ok)
	assert.Equal(t, location, fault["location"])
	assert.Equal(t, fmt.Sprintf("%s: %s", location, fault["message"]), problem["detail"])
}

// detail is what a problem says, for the golden file.
func detail(problem map[string]any) error { return fmt.Errorf("%v", problem["detail"]) }

func requireOAuth(t *testing.T, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&e))
	require.Equal(t, code, e.Error, a.body)
	require.NotEmpty(t, e.Description)
}

func TestPredict(t *testing.T) {
	f := newFixture(t)
	for _, row := range []struct{ name, body, label string }{
		{"setosa", `{"features":[5.1,3.5,1.4,0.2]}`, "setosa"},
		{"versicolor", `{"features":[7.0,3.2,4.7,1.4]}`, "versicolor"},
		{"virginica", `{"features":[6.3,3.3,6.0,2.5]}`, "virginica"},
		{"by name", `{"features":{"petal_width":2.5,"petal_length":6.0,"sepal_width":3.3,"sepal_length":6.3}}`, "virginica"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := f.predict(t, row.body)
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.Equal(t, "application/json", a.header.Get("Content-Type"))
			require.Equal(t, strconv.Itoa(len(a.body)), a.header.Get("Content-Length"))
			var got struct {
				Label         string
				ClassIndex    int `json:"class_index"`
				Probabilities map[string]float64
				Model         struct{ Name, Version string }
			}
			require.NoError(t, json.Unmarshal([]byte(a.body), &got))
			assert.Equal(t, row.label, got.Label)
			assert.Equal(t, []string{"setosa", "versicolor", "virginica"}[got.ClassIndex], got.Label)
			assert.Greater(t, got.Probabilities[got.Label], 0.5)
			assert.InDelta(t, 1, got.Probabilities["setosa"]+got.Probabilities["versicolor"]+got.Probabilities["virginica"], 1e-6)
			assert.Equal(t, "iris", got.Model.Name)
			assert.Equal(t, "3", got.Model.Version)
		})
	}
	require.Contains(t, f.do(t, http.MethodGet, "/metrics", "").body, `http_requests_total{code="200",method="POST",route="/predict"} 4`)
}

// The order of keys and the form of numbers are part of the contract.
func TestPredictBytes(t *testing.T) {
	f := newFixture(t)
	for _, row := range []struct {
		name string
		dir  mlmodel.Dir
		body string
		want string
	}{
		{
			"text labels", servingtest.Constant(t, 1), `{"features":[1,2,3,4]}`,
			`{"label":"versicolor","class_index":1,"probabilities":{"setosa":0.0,"versicolor":1.0,"virginica":0.0},"model":{"name":"iris","version":"7"}}`,
		},
		{
			"integer labels", servingtest.IrisLabelled(t, onnx.Labels{Ints: []int64{-1, 0, 12}}), `{"features":[1,1,1000,1000]}`,
			`{"label":12,"class_index":2,"probabilities":{"-1":0.0,"0":0.0,"12":1.0},"model":{"name":"iris","version":"7"}}`,
		},
		{
			"labels with quotes, signs and digits", servingtest.IrisLabelled(t, onnx.Labels{Strings: []string{`a"b`, "<é>", "1"}}), `{"features":[1,1,1000,1000]}`,
			`{"label":"1","class_index":2,"probabilities":{"a\"b":0.0,"<é>":0.0,"1":1.0},"model":{"name":"iris","version":"7"}}`,
		},
		{
			"many", servingtest.IrisLabelled(t, onnx.Labels{Ints: []int64{0, 1, 2}}),
			`{"instances":[[1,1,1000,1000],{"sepal_length":1,"sepal_width":1,"petal_length":-1000,"petal_width":-1000}]}`,
			`{"predictions":[{"label":2,"class_index":2,"probabilities":{"0":0.0,"1":0.0,"2":1.0}},{"label":0,"class_index":0,"probabilities":{"0":1.0,"1":0.0,"2":0.0}}],"model":{"name":"iris","version":"7"}}`,
		},
		{"none of many", servingtest.Iris(t), `{"instances":[]}`, `{"predictions":[],"model":{"name":"iris","version":"7"}}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			f.models.Store(load(t, row.dir, "7"))
			a := f.predict(t, row.body)
			require.Equal(t, http.StatusOK, a.status, a.body)
			assert.Equal(t, row.want+"\n", a.body)
		})
	}
}

// Rows 1 to 12 of the 25 bad inputs, and their neighbours. The place is part of
// the answer; what was sent is not.
func TestPredictBadInput(t *testing.T) {
	f := newFixture(t)
	messages := golden.New(t)
	for _, row := range []struct{ name, body, location string }{
		{"1 features null", `{"features":null}`, "body.features"},
		{"2 a null element", `{"features":[5.1,3.5,1.4,null]}`, "body.features[3]"},
		{"2 a null by name", `{"features":{"sepal_length":1,"sepal_width":1,"petal_length":null,"petal_width":1}}`, "body.features.petal_length"},
		{"3 three features", `{"features":[5.1,3.5,1.4]}`, "body.features"},
		{"3 five features", `{"features":[5.1,3.5,1.4,0.2,1]}`, "body.features"},
		{"3 no features", `{"features":[]}`, "body.features"},
		{"3 a name is missing", `{"features":{"sepal_length":1,"sepal_width":1,"petal_length":1}}`, "body.features.petal_width"},
		{"3 an unknown name", `{"features":{"sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":1,"zzz":1}}`, "body.features"},
		{"3 a name in another case", `{"features":{"Sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":1}}`, "body.features"},
		{"4 a string", `{"features":[5.1,3.5,1.4,"1"]}`, "body.features[3]"},
		{"4 true", `{"features":[5.1,true,1.4,0.2]}`, "body.features[1]"},
		{"4 a string by name", `{"features":{"sepal_width":"zzz"}}`, "body.features.sepal_width"},
		{"4 a string by unknown name", `{"features":{"zzz":"zzz"}}`, "body.features"},
		{"5 NaN", `{"features":[5.1,NaN,1.4,0.2]}`, "body.features[1]"},
		{"5 Infinity", `{"features":[5.1,3.5,1.4,Infinity]}`, "body.features[3]"},
		{"6 1e309", `{"features":[5.1,3.5,1e309,0.2]}`, "body.features[2]"},
		{"7 1.7e308", `{"features":[1.7e308,1.7e308,-1.7e308,-1.7e308]}`, "body.features[0]"},
		{"7 just beyond float32", `{"features":[5.1,3.4028236e38,1.4,0.2]}`, "body.features[1]"},
		{"7 within float32, but too much for the model", `{"features":[3.4e38,3.4e38,-3.4e38,-3.4e38]}`, "body.features"},
		{"8 a duplicate key", `{"features":[5.1,3.5,1.4,0.2],"features":[5.1,3.5,1.4,0.2]}`, "body"},
		{"8 a duplicate name", `{"features":{"sepal_width":1,"sepal_width":1}}`, "body.features"},
		{"9 FEATURES", `{"FEATURES":[5.1,3.5,1.4,0.2]}`, "body"},
		{"9 an unknown key", `{"features":[5.1,3.5,1.4,0.2],"zzz":1}`, "body"},
		{"10 something after", `{"features":[5.1,3.5,1.4,0.2]}zzz`, "body"},
		{"11 a byte order mark", "\xef\xbb\xbf" + `{"features":[5.1,3.5,1.4,0.2]}`, "body"},
		{"11 invalid UTF-8", "{\"features\":[5.1,3.5,1.4,0.2],\"\xff\":1}", "body"},
		{"12 deep nesting", strings.Repeat("[", 2000), "body"},
		{"12 deep nesting inside", `{"features":` + strings.Repeat("[", 2000), "body.features[0]"},
		{"both", `{"features":[5.1,3.5,1.4,0.2],"instances":[]}`, "body"},
		{"neither", `{}`, "body"},
		{"empty", ` `, "body"},
		{"the second of many", `{"instances":[[5.1,3.5,1.4,0.2],[5.1,3.5,1.4]]}`, "body.instances[1]"},
		{"a value of many", `{"instances":[[5.1,3.5,1.4,0.2],[5.1,null,1.4,0.2]]}`, "body.instances[1][1]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := f.predict(t, row.body)
			p := requireProblem(t, a, http.StatusUnprocessableEntity)
			requireFault(t, p, row.location)
			messages.Add(row.name, detail(p))
			assert.NotContains(t, a.body, "zzz", "the answer repeats what was sent")
			assert.Less(t, len(a.body), 700)
		})
	}
}

// Rows 13 to 15: what is wrong with a body as a whole.
func TestBodyLimitsAndTypes(t *testing.T) {
	f := newFixture(t)
	row := `{"features":[5.1,3.5,1.4,0.2]}`
	large := row + strings.Repeat(" ", maxBody)
	auth := "Authorization: Bearer " + f.token + "\r\n"
	head := "POST /predict HTTP/1.1\r\nHost: x\r\n" + auth
	for _, row := range []struct {
		name, request string
		status        int
	}{
		{"13 declared too large, never sent", head + "Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n", 413},
		{"13 chunked too large", head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(large), 413},
		{"a small chunked body", head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(row), 200},
		{"exactly the limit", head + "Content-Type: application/json\r\nContent-Length: 4096\r\n\r\n" + large[:maxBody], 200},
		{"14 gzip", head + "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", 415},
		{"14 br", head + "Content-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc", 415},
		{"15 no Content-Type", head + "Content-Length: 30\r\n\r\n" + row, 415},
		{"15 text", head + "Content-Type: text/plain\r\nContent-Length: 30\r\n\r\n" + row, 415},
		{"15 form", head + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 30\r\n\r\n" + row, 415},
		{"15 two types", head + "Content-Type: application/json\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n" + row, 415},
		{"15 latin1", head + "Content-Type: application/json; charset=latin1\r\nContent-Length: 30\r\n\r\n" + row, 415},
		{"15 nonsense", head + "Content-Type: ;;;\r\nContent-Length: 30\r\n\r\n" + row, 415},
		{"charset utf-8", head + "Content-Type: application/json; charset=utf-8\r\nContent-Length: 30\r\n\r\n" + row, 200},
		{"charset UTF-8 in quotes", head + "Content-Type: Application/JSON;charset=\"UTF-8\"\r\nContent-Length: 30\r\n\r\n" + row, 200},
		{"a broken chunk", head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := f.raw(t, row.request)
			if row.status == 200 {
				require.Equal(t, 200, a.status, a.body)
				return
			}
			requireProblem(t, a, row.status)
		})
	}
}

func chunked(body string) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(1000, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// Row 16: a body that does not come.
func TestSlowBody(t *testing.T) {
	f := newFixture(t, func(c *config, _ *http.Server) { c.Timeouts.Read = 200 * time.Millisecond })
	a := f.raw(t, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+f.token+
		"\r\nContent-Length: 30\r\n\r\n{\"feat")
	requireProblem(t, a, http.StatusRequestTimeout)
	assert.True(t, a.closed)
}

func TestServerLimits(t *testing.T) {
	s := httpapi.NewServer(http.NotFoundHandler(), httpapi.Timeouts{Read: 15 * time.Second, Write: 30 * time.Second, Idle: time.Minute}, false, slog.New(slog.DiscardHandler))
	assert.Equal(t, 5*time.Second, s.ReadHeaderTimeout)
	assert.Equal(t, 20*time.Second, s.ReadTimeout, "the first byte of a body, after the headers")
	assert.Equal(t, 50*time.Second, s.WriteTimeout, "the first byte of an answer, after a body")
	assert.Equal(t, time.Minute, s.IdleTimeout)
	assert.Equal(t, 16<<10, s.MaxHeaderBytes)
	assert.False(t, s.Protocols.UnencryptedHTTP2())
}

// Rows 17 to 22: who is let in. The body is never read before: it is declared
// and not sent.
func TestBearer(t *testing.T) {
	f := newFixture(t)
	other, err := token.NewKeyring([]byte("mT4kW8zQ1vX6cN9rY3bL7jH2gP5sD0fA"))
	require.NoError(t, err)
	otherIssuer, err := token.NewIssuer(other, token.DefaultConfig(time.Minute))
	require.NoError(t, err)
	foreign, _, err := otherIssuer.Issue(token.Grant{Subject: testUser, Scopes: account.DefaultScopes()})
	require.NoError(t, err)
	past := token.DefaultConfig(time.Minute)
	past.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	pastIssuer, err := token.NewIssuer(f.keys, past)
	require.NoError(t, err)
	expired, _, err := pastIssuer.Issue(token.Grant{Subject: testUser, Scopes: account.DefaultScopes()})
	require.NoError(t, err)
	readOnly := f.issue(t, token.Grant{Subject: testUser, Scopes: []string{account.ScopeModelRead}})
	unknown := f.issue(t, token.Grant{Subject: "nobody", Scopes: account.DefaultScopes()})
	later := f.issue(t, token.Grant{Subject: testUser, Scopes: account.DefaultScopes(), Epoch: 7})

	const invalid = `Bearer realm="petal", error="invalid_token"`
	const badRequest = `Bearer realm="petal", error="invalid_request"`
	for _, row := range []struct {
		name, query, headers string
		status               int
		challenge            string
	}{
		{"17 no token", "", "", 401, `Bearer realm="petal"`},
		{"17 basic", "", "Authorization: Basic c3R1ZGVudDp4\r\n", 401, `Bearer realm="petal"`},
		{"empty", "", "Authorization: Bearer \r\n", 401, invalid},
		{"nonsense", "", "Authorization: Bearer abc\r\n", 401, invalid},
		{"18 alg none", "", "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJzdHVkZW50In0.\r\n", 401, invalid},
		{"19 expired", "", "Authorization: Bearer " + expired + "\r\n", 401, invalid},
		{"20 another key", "", "Authorization: Bearer " + foreign + "\r\n", 401, invalid},
		{"20 altered", "", "Authorization: Bearer " + f.token[:len(f.token)-1] + "\r\n", 401, invalid},
		{"20 another epoch", "", "Authorization: Bearer " + later + "\r\n", 401, invalid},
		{"20 a user who is gone", "", "Authorization: Bearer " + unknown + "\r\n", 401, invalid},
		{"21 in the URL", "?access_token=" + f.token, "", 400, badRequest},
		{"21 in the URL too", "?access_token=x", "Authorization: Bearer " + f.token + "\r\n", 400, badRequest},
		{"21 two headers", "", strings.Repeat("Authorization: Bearer "+f.token+"\r\n", 2), 400, badRequest},
		{"22 a missing scope", "", "Authorization: Bearer " + readOnly + "\r\n", 403, `Bearer realm="petal", error="insufficient_scope"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := f.raw(t, "POST /predict"+row.query+" HTTP/1.1\r\nHost: x\r\n"+row.headers+"Content-Length: 1000\r\n\r\n")
			requireProblem(t, a, row.status)
			require.True(t, a.closed, "a body that was not read is not waited for")
			got := a.header.Get("WWW-Authenticate")
			if row.challenge == `Bearer realm="petal"` {
				assert.Equal(t, row.challenge, got, "a bare challenge")
			} else {
				assert.True(t, strings.HasPrefix(got, row.challenge), got)
			}
			for _, secret := range []string{f.token, expired, foreign, readOnly} {
				assert.NotContains(t, a.body+got, secret)
			}
		})
	}
	t.Run("a scheme in lower case", func(t *testing.T) {
		a := f.do(t, http.MethodGet, "/model-info", "", "Authorization", "bearer "+readOnly)
		require.Equal(t, 200, a.status, a.body)
	})
	t.Run("a disabled user", func(t *testing.T) {
		_, err := f.accounts.Add(t.Context(), "leaver", testPassword, nil)
		require.NoError(t, err)
		raw := f.issue(t, token.Grant{Subject: "leaver", Scopes: account.DefaultScopes()})
		require.Equal(t, 200, f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+raw).status)
		require.NoError(t, f.accounts.SetDisabled(t.Context(), "leaver", true))
		require.NoError(t, f.guard.Refresh(t.Context()))
		requireProblem(t, f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+raw), 401)
	})
	for _, secret := range []string{f.token, expired, foreign, readOnly} {
		assert.NotContains(t, f.log.String(), secret, "a token is in the log")
	}
}

func TestToken(t *testing.T) {
	f := newFixture(t)
	for _, row := range []struct{ name, form, scope string }{
		{"plain", form("username", testUser, "password", testPassword), "predict model:read"},
		{"grant_type", form("grant_type", "password", "username", testUser, "password", testPassword), "predict model:read"},
		{"an empty grant_type and scope", form("grant_type", "", "username", testUser, "password", testPassword, "scope", ""), "predict model:read"},
		{"a subset", form("username", testUser, "password", testPassword, "scope", "predict"), "predict"},
		{"more than the user has", form("username", testUser, "password", testPassword, "scope", "admin model:read"), "model:read"},
		{"unknown parameters", form("username", testUser, "password", testPassword, "client_id", "x"), "predict model:read"},
		{"unknown parameters, twice and malformed", "nonce=1&" + form("username", testUser, "password", testPassword) + "&nonce=2&state=%zz;&%zz=1&&=", "predict model:read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := f.login(t, row.form)
			require.Equal(t, 200, a.status, a.body)
			assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
			var got struct {
				AccessToken string `json:"access_token"`
				TokenType   string `json:"token_type"`
				ExpiresIn   int    `json:"expires_in"`
				Scope       string `json:"scope"`
			}
			d := json.NewDecoder(strings.NewReader(a.body))
			d.DisallowUnknownFields()
			require.NoError(t, d.Decode(&got))
			assert.Equal(t, "bearer", got.TokenType)
			assert.Equal(t, 1800, got.ExpiresIn)
			assert.Equal(t, row.scope, got.Scope)
			f.token = got.AccessToken
			status := f.predict(t, `{"features":[5.1,3.5,1.4,0.2]}`).status
			assert.Equal(t, strings.Contains(row.scope, "predict"), status == 200)
		})
	}
	assert.NotContains(t, f.log.String(), testPassword)
	assert.NotContains(t, f.log.String(), f.token)
}

// Rows 23 and 24.
func TestTokenRefused(t *testing.T) {
	f := newFixture(t)
	for _, row := range []struct {
		name, form string
		status     int
		code       string
	}{
		{"23 a parameter twice", form("username", testUser, "username", testUser, "password", testPassword), 400, "invalid_request"},
		{"23 another grant", form("grant_type", "client_credentials", "username", testUser, "password", testPassword), 400, "unsupported_grant_type"},
		{"no user name", form("password", testPassword), 400, "invalid_request"},
		{"no password", form("username", testUser), 400, "invalid_request"},
		{"a malformed name", "username=%zz&password=x", 400, "invalid_request"},
		{"a bare percent sign", "username=" + testUser + "&password=100%zzz-and-more", 400, "invalid_request"},
		{"a percent sign at the end", "username=" + testUser + "&password=zzzzzzzzzzzz100%", 400, "invalid_request"},
		{"a bare semicolon", "username=" + testUser + "&password=zzz;zzz", 400, "invalid_request"},
		{"semicolons between", "username=zzz;password=zzz", 400, "invalid_request"},
		{"a scope twice", form("username", testUser, "password", testPassword, "scope", "predict", "scope", ""), 400, "invalid_request"},
		{"an unknown scope", form("username", testUser, "password", testPassword, "scope", "predict root"), 400, "invalid_scope"},
		{"a scope the user lacks", form("username", testUser, "password", testPassword, "scope", "admin"), 400, "invalid_scope"},
		{"too large", form("username", testUser, "password", strings.Repeat("x", 9000)), 413, "invalid_request"},
		{"24 an unknown user", form("username", "zzz", "password", testPassword), 400, "invalid_grant"},
		{"24 a wrong password", form("username", testUser, "password", "zzzzzzzzzzzz"), 400, "invalid_grant"},
		{"24 73 bytes", form("username", testUser, "password", strings.Repeat("z", 73)), 400, "invalid_grant"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := f.login(t, row.form)
			requireOAuth(t, a, row.status, row.code)
			assert.NotContains(t, a.body, "zzz")
		})
	}
	t.Run("23 JSON", func(t *testing.T) {
		a := f.do(t, http.MethodPost, "/token", `{"username":"student","password":"x"}`, "Content-Type", "application/json")
		requireOAuth(t, a, 400, "invalid_request")
	})
	t.Run("credentials in the URL", func(t *testing.T) {
		a := f.do(t, http.MethodPost, "/token?"+form("username", testUser, "password", testPassword), "", "Content-Type", "application/x-www-form-urlencoded")
		requireOAuth(t, a, 400, "invalid_request")
	})
	t.Run("gzip", func(t *testing.T) {
		a := f.do(t, http.MethodPost, "/token", "x", "Content-Type", "application/x-www-form-urlencoded", "Content-Encoding", "gzip")
		requireOAuth(t, a, 415, "invalid_request")
	})
	t.Run("GET", func(t *testing.T) {
		a := f.do(t, http.MethodGet, "/token", "")
		requireOAuth(t, a, 405, "invalid_request")
		assert.Equal(t, []string{"POST"}, a.header.Values("Allow"))
	})
	t.Run("24 the same bytes", func(t *testing.T) {
		unknown := f.login(t, form("username", "nobody", "password", testPassword))
		wrong := f.login(t, form("username", testUser, "password", "not-the-password-at-all"))
		assert.Equal(t, unknown.body, wrong.body)
	})
}

// Row 25: guessing is throttled, by the address that is really there.
func TestTokenThrottle(t *testing.T) {
	f := newFixture(t)
	guess := func(user, password, forwarded string) answer {
		return f.do(t, http.MethodPost, "/token", form("username", user, "password", password),
			"Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-For", forwarded)
	}
	for i := range 10 {
		requireOAuth(t, guess(testUser, "wrong-"+strconv.Itoa(i), "203.0.113."+strconv.Itoa(i)), 400, "invalid_grant")
	}
	a := guess(testUser, testPassword, "203.0.113.99")
	requireOAuth(t, a, 429, "temporarily_unavailable")
	after, err := strconv.Atoi(a.header.Get("Retry-After"))
	require.NoError(t, err)
	assert.Positive(t, after)
	assert.LessOrEqual(t, after, 15*60)
	// A mistake in form is answered first, and a token issued before works on.
	requireOAuth(t, f.login(t, form("username", testUser)), 400, "invalid_request")
	require.Equal(t, 200, f.predict(t, `{"features":[5.1,3.5,1.4,0.2]}`).status)
	body := f.do(t, http.MethodGet, "/metrics", "").body
	assert.Contains(t, body, `auth_logins_total{result="failure"} 10`)
	assert.Contains(t, body, `auth_logins_total{result="throttled"} 1`)
}

func TestTrustedProxies(t *testing.T) {
	f := newFixture(t, func(c *config, _ *http.Server) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	f.do(t, http.MethodGet, "/nowhere", "", "X-Forwarded-For", "198.51.100.7, 203.0.113.5")
	require.Eventually(t, func() bool { return strings.Contains(f.log.String(), "client=203.0.113.5") }, 5*time.Second, 5*time.Millisecond)
	assert.NotContains(t, f.log.String(), "198.51.100.7")
}

func TestModelInfo(t *testing.T) {
	f := newFixture(t)
	a := f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+f.token)
	require.Equal(t, 200, a.status, a.body)
	var keys []string
	d := json.NewDecoder(strings.NewReader(a.body))
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	depth := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch tok := tok.(type) {
		case json.Delim:
			if tok == '{' || tok == '[' {
				depth++
			} else {
				depth--
			}
		case string:
			if _, is := got[tok]; is && depth == 1 && (len(keys) == 0 || keys[len(keys)-1] != tok) {
				keys = append(keys, tok)
			}
		}
	}
	assert.Equal(t, []string{"name", "version", "alias", "run_id", "trained_at", "loaded_at", "estimator", "features", "classes", "metrics", "data", "sha256"}, keys)
	assert.Equal(t, "iris", got["name"])
	assert.Equal(t, "3", got["version"])
	assert.Equal(t, "champion", got["alias"])
	assert.Equal(t, "run-1", got["run_id"])
	assert.Equal(t, "2026-11-01T12:00:00Z", got["trained_at"])
	assert.Equal(t, "logistic_regression", got["estimator"])
	assert.Equal(t, []any{"setosa", "versicolor", "virginica"}, got["classes"])
	assert.Equal(t, map[string]any{"name": "sepal_length", "type": "double"}, got["features"].([]any)[0])
	assert.Equal(t, map[string]any{"accuracy": .97, "log_loss": .11}, got["metrics"])
	assert.Equal(t, map[string]any{"path": "data/iris.csv", "md5": "d41d8cd98f00b204e9800998ecf8427e"}, got["data"])
	assert.Len(t, got["sha256"], 64)

	bare := servingtest.Iris(t)
	bare.Petal, bare.Signature, bare.InputExample = nil, mlmodel.Signature{}, nil
	f.models.Store(load(t, bare, "4"))
	a = f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+f.token)
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	assert.Nil(t, got["estimator"])
	assert.Nil(t, got["data"])
	assert.Equal(t, "2026-11-01T12:00:01Z", got["trained_at"], "the time of writing")
	assert.Equal(t, map[string]any{"name": "f0", "type": "float"}, got["features"].([]any)[0])
	requireProblem(t, f.do(t, http.MethodGet, "/model-info", ""), 401)
}

func TestMissingValuesWhereTrainingHadSome(t *testing.T) {
	f := newFixture(t)
	dir := servingtest.Constant(t, 0)
	dir.Petal.MissingColumns = []string{"sepal_width"}
	f.models.Store(load(t, dir, "1"))
	messages := golden.New(t)
	// The model takes the null; a linear one makes NaN of it, and that is no answer.
	p := requireProblem(t, f.predict(t, `{"features":[1,null,1,1]}`), 422)
	requireFault(t, p, "body.features")
	messages.Add("a null that the model takes", detail(p))
	p = requireProblem(t, f.predict(t, `{"features":[null,1,1,1]}`), 422)
	requireFault(t, p, "body.features[0]")
	messages.Add("a null that it does not take", detail(p))
}

func TestOpenEndpoints(t *testing.T) {
	f := newFixture(t)
	assert.JSONEq(t, `{"status":"ok"}`, f.do(t, http.MethodGet, "/health", "").body)
	assert.JSONEq(t, `{"status":"ready","model":{"name":"iris","version":"3"}}`, f.do(t, http.MethodGet, "/ready", "").body)
	index := f.do(t, http.MethodGet, "/", "").body
	for _, path := range []string{"/token", "/predict", "/model-info", "/health", "/ready", "/metrics"} {
		assert.Contains(t, index, `"`+path+`"`)
	}
	head := f.do(t, http.MethodHead, "/health", "")
	assert.Equal(t, 200, head.status)
	assert.Empty(t, head.body)

	f.models.Store(nil)
	assert.Equal(t, 200, f.do(t, http.MethodGet, "/health", "").status)
	a := f.do(t, http.MethodGet, "/ready", "")
	requireProblem(t, a, 503)
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	a = f.predict(t, `{"features":[5.1,3.5,1.4,0.2]}`)
	requireProblem(t, a, 503)
	assert.NotEmpty(t, a.header.Get("Retry-After"))
}

func TestUnknownPathsAndMethods(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/nowhere", "/predict/", "/Predict", "/..%2fmetrics", "/zzz?access_token=" + f.token} {
		requireProblem(t, f.do(t, http.MethodGet, path, ""), 404)
	}
	requireProblem(t, f.do(t, "BREW", "/nowhere", ""), 404)
	for _, row := range []struct {
		method, path string
		allow        []string
	}{
		{http.MethodGet, "/predict", []string{"POST"}},
		{http.MethodDelete, "/model-info", []string{"GET", "HEAD"}},
		{http.MethodOptions, "/predict", []string{"POST"}},
		{http.MethodPost, "/health", []string{"GET", "HEAD"}},
		{"BREW", "/", []string{"GET", "HEAD"}},
	} {
		a := f.do(t, row.method, row.path, "")
		requireProblem(t, a, 405)
		assert.Equal(t, row.allow, a.header.Values("Allow"))
	}
	assert.NotContains(t, f.log.String(), f.token)
	metrics := f.do(t, http.MethodGet, "/metrics", "").body
	assert.Contains(t, metrics, `http_requests_total{code="404",method="GET",route="unmatched"} 5`)
	assert.Contains(t, metrics, `http_requests_total{code="404",method="other",route="unmatched"} 1`)
	assert.NotContains(t, metrics, "nowhere")
	assert.NotContains(t, metrics, "BREW")
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	f := newFixture(t)
	for _, a := range []answer{
		f.do(t, http.MethodGet, "/health", ""), f.do(t, http.MethodGet, "/metrics", ""), f.do(t, http.MethodGet, "/", ""),
		f.do(t, http.MethodGet, "/nowhere", ""), f.do(t, http.MethodGet, "/predict", ""), f.do(t, http.MethodPost, "/predict", ""),
		f.predict(t, `{"features":[5.1,3.5,1.4,0.2]}`), f.predict(t, `{`), f.login(t, ""),
	} {
		assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		assert.NotEmpty(t, a.header.Get("X-Request-Id"))
		assert.NotEmpty(t, a.header.Get("Content-Type"))
		assert.Empty(t, a.header.Values("Set-Cookie"))
		assert.Empty(t, a.header.Values("Server"))
	}
	asterisk := f.raw(t, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	requireProblem(t, asterisk, http.StatusNotFound)
	assert.Equal(t, "nosniff", asterisk.header.Get("X-Content-Type-Options"))
	assert.NotEmpty(t, asterisk.header.Get("X-Request-Id"))
	assert.Equal(t, "abc-1", f.do(t, http.MethodGet, "/health", "", "X-Request-Id", "abc-1").header.Get("X-Request-Id"))
	for _, bad := range []string{"a b", "<x>", strings.Repeat("x", 65)} {
		assert.NotEqual(t, bad, f.do(t, http.MethodGet, "/health", "", "X-Request-Id", bad).header.Get("X-Request-Id"))
	}
	a := f.predict(t, `{`)
	require.Eventually(t, func() bool { return strings.Contains(f.log.String(), a.header.Get("X-Request-Id")) }, 5*time.Second, 5*time.Millisecond)
}

// A fault of ours is a 500 that says nothing about it; the log does.
func TestFaultsOfOurs(t *testing.T) {
	f := newFixture(t, func(c *config, _ *http.Server) {
		c.Accounts, c.predict.Bearers = brokenAccounts{}, brokenBearers{}
	})
	a := f.predict(t, `{"features":[5.1,3.5,1.4,0.2]}`)
	p := requireProblem(t, a, 503)
	assert.Equal(t, "5", a.header.Get("Retry-After"))
	assert.NotContains(t, a.body, "disk")
	assert.Contains(t, f.log.String(), "disk on fire")
	assert.Contains(t, f.log.String(), p["request_id"])

	a = f.login(t, form("username", testUser, "password", testPassword))
	requireOAuth(t, a, 500, "server_error")
	assert.NotContains(t, a.body, "heap")
	assert.Contains(t, f.log.String(), "heap on fire")
}

type brokenAccounts struct{}

func (brokenAccounts) Authenticate(context.Context, string, string, netip.Addr) (account.User, error) {
	panic("heap on fire")
}

type brokenBearers struct{}

func (brokenBearers) Authenticate(context.Context, string) (access.Principal, error) {
	return access.Principal{}, fmt.Errorf("%w: disk on fire", access.ErrUnavailable)
}

func TestMetricsLint(t *testing.T) {
	f := newFixture(t)
	f.predict(t, `{"features":[1]}`)
	problems, err := testutil.GatherAndLint(f.metrics)
	require.NoError(t, err)
	assert.Empty(t, problems)
	assert.Contains(t, f.do(t, http.MethodGet, "/metrics", "").body, `model_rejected_inputs_total{reason="wrong_width"} 1`)
}
