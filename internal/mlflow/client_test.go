package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// serve starts a server that answers as told. What a real server answers is
// tested in package mlflowregistry; these are failures.
func serve(t *testing.T, handler http.HandlerFunc) (*Client, *atomic.Int32) {
	t.Helper()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	return client(t, Options{TrackingURI: server.URL, RetryFor: time.Second, Timeout: time.Minute}), &calls
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := NewClient(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestErrorAnswers(t *testing.T) {
	messages := golden.New(t)
	for _, test := range []struct {
		name         string
		status       int
		mediaType    string
		body         string
		kind         Kind
		code         string
		wantsRetries bool
	}{
		{"not found", 404, "application/json", `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Run 'x' not found","sqlstate":"KAM00","error_class":"X"}`, NotFound, codeNotFound, false},
		{"invalid", 400, "application/json", `{"error_code":"INVALID_PARAMETER_VALUE","message":"bad\nvalue"}`, Invalid, "INVALID_PARAMETER_VALUE", false},
		{"unknown route", 404, "text/html", `<!doctype html><title>404</title>`, Unavailable, "", false},
		{"detail", 400, "application/json", `{"detail":"is a directory"}`, Invalid, "", false},
		{"odd detail", 422, "application/json", `{"detail":[{"loc":1}]}`, Invalid, "", false},
		{"host refused", 403, "text/plain", `Invalid Host header - possible DNS rebinding attack detected`, Invalid, "", false},
		{"no credentials", 401, "text/plain", ``, Invalid, "", false},
		{"server error", 500, "text/html", `<h1>Internal</h1>`, Unavailable, "", true},
		{"gateway", 502, "text/plain", `bad gateway`, Unavailable, "", true},
		{"too many", 429, "application/json", `{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"slow down"}`, Unavailable, "REQUEST_LIMIT_EXCEEDED", true},
		{"long", 400, "text/plain", strings.Repeat("é", 5000), Invalid, "", false},
		{"wrong success", 200, "text/html", `<html>login</html>`, Unavailable, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, calls := serve(t, answer(test.status, test.mediaType, test.body))
			_, err := c.GetRun(t.Context(), "x")
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.kind, e.Kind)
			require.Equal(t, test.code, e.Code)
			if test.status != http.StatusOK { // which is not what is wrong
				require.Equal(t, test.status, e.Status)
			}
			require.Equal(t, c.Server(), e.Server)
			require.Equal(t, "GET mlflow/runs/get", e.Call)
			messages.Add(test.name, errors.New(strings.ReplaceAll(err.Error(), e.Server, "SERVER")))
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 1500)
			require.Equal(t, test.wantsRetries, calls.Load() > 1, "%d calls", calls.Load())
		})
	}
}

func TestRetries(t *testing.T) {
	failing := func(times int32, status int) http.HandlerFunc {
		var n atomic.Int32
		return func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) <= times {
				w.WriteHeader(status)
				return
			}
			answer(200, "application/json", `{"run":{"info":{"run_id":"r"}}}`)(w, r)
		}
	}
	t.Run("a read survives faults", func(t *testing.T) {
		c, calls := serve(t, failing(2, 500))
		run, err := c.GetRun(t.Context(), "r")
		require.NoError(t, err)
		require.Equal(t, "r", run.ID)
		require.EqualValues(t, 3, calls.Load())
	})
	t.Run("a run is not made twice", func(t *testing.T) {
		c, calls := serve(t, failing(1, 500))
		_, err := c.CreateRun(t.Context(), NewRun{})
		requireStatus(t, err, http.StatusInternalServerError)
		require.EqualValues(t, 1, calls.Load())
	})
	t.Run("what was not carried out is made again", func(t *testing.T) {
		c, calls := serve(t, failing(1, 503))
		_, err := c.CreateRun(t.Context(), NewRun{})
		require.NoError(t, err)
		require.EqualValues(t, 2, calls.Load())
	})
	t.Run("a body is sent in full each time", func(t *testing.T) {
		var bodies []string
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if bodies = append(bodies, string(body)); len(bodies) < 2 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		require.NoError(t, c.PutArtifact(t.Context(), "mlflow-artifacts:/1/x", "f", []byte("content")))
		require.Equal(t, []string{"content", "content"}, bodies)
	})
	t.Run("none when told so", func(t *testing.T) {
		server := httptest.NewServer(failing(1, 500))
		defer server.Close()
		_, err := client(t, Options{TrackingURI: server.URL, RetryFor: -1}).GetRun(t.Context(), "r")
		requireStatus(t, err, http.StatusInternalServerError)
	})
	t.Run("time is bounded", func(t *testing.T) {
		c, _ := serve(t, answer(500, "text/plain", ""))
		start := time.Now()
		_, err := c.GetRun(t.Context(), "r")
		requireStatus(t, err, http.StatusInternalServerError)
		require.Less(t, time.Since(start), 3*time.Second)
	})
	t.Run("a server that says nothing", func(t *testing.T) {
		c := client(t, Options{TrackingURI: silent(t), RetryFor: -1, Timeout: 50 * time.Millisecond})
		_, err := c.GetRun(t.Context(), "r")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, Unavailable, e.Kind)
		_, _, err = c.OpenArtifact(t.Context(), "mlflow-artifacts:/1", "f")
		require.ErrorAs(t, err, &e)
		require.Equal(t, Unavailable, e.Kind)
	})
	t.Run("cancelled", func(t *testing.T) {
		c, _ := serve(t, answer(500, "text/plain", "broken"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := c.GetRun(ctx, "r")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "broken", "says what it was waiting for")
	})
}

// requireStatus asks for the server's answer of that status.
func requireStatus(t *testing.T, err error, status int) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, status, e.Status)
}

// silent accepts connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return "http://" + listener.Addr().String()
}

// TestWaitIsLoggedInSeconds as JSON, where a duration would be a count of
// nanoseconds without a unit.
func TestWaitIsLoggedInSeconds(t *testing.T) {
	var log bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(server.Close)
	c := client(t, Options{TrackingURI: server.URL, RetryFor: time.Second, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	_, err := c.GetRun(t.Context(), "r")
	requireStatus(t, err, http.StatusServiceUnavailable)
	require.Regexp(t, `"seconds":0\.\d+`, log.String())
}

func TestUnreachable(t *testing.T) {
	messages := golden.New(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	c := client(t, Options{TrackingURI: "http://petal:correct-horse@" + address, RetryFor: -1})
	_, err = c.GetRun(t.Context(), "r")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Unavailable, e.Kind)
	require.Equal(t, "http://"+address, e.Server)
	require.Equal(t, "GET mlflow/runs/get", e.Call)
	messages.Add("no server", errors.New(strings.ReplaceAll(err.Error(), address, "HOST")))
	require.NotContains(t, err.Error(), "correct-horse")
	require.Equal(t, 1, strings.Count(err.Error(), "http://"), "the address is named once")
}

func TestCredentials(t *testing.T) {
	basic := func(user, password string) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	all := Credentials{Username: "u", Password: "p", Token: "tok"}
	for _, test := range []struct {
		name, user string
		cred       Credentials
		want       string
	}{
		{"none", "", Credentials{}, ""},
		{"address", "a:b%40c@", Credentials{}, basic("a", "b@c")},
		{"address before variables", "a:b@", all, basic("a", "b")},
		{"user before token", "", all, basic("u", "p")},
		{"token", "", Credentials{Token: "tok"}, "Bearer tok"},
		{"half a pair", "", Credentials{Username: "u", Token: "tok"}, "Bearer tok"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get("Authorization")
				answer(400, "text/plain", "refused")(w, r)
			}))
			defer server.Close()
			var log bytes.Buffer
			c := client(t, Options{
				TrackingURI: strings.Replace(server.URL, "http://", "http://"+test.user, 1), Credentials: test.cred, RetryFor: -1,
				Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			_, err := c.GetRun(t.Context(), "r")
			requireStatus(t, err, http.StatusBadRequest)
			require.Equal(t, test.want, got)
			if test.user != "" {
				require.NotContains(t, err.Error()+log.String(), test.user)
			}
			require.Contains(t, log.String(), "mlflow call")
		})
	}
	require.NotContains(t, fmt.Sprint(all.LogValue()), "tok")
}

func TestRedirectsOfWritesAreRefused(t *testing.T) {
	messages := golden.New(t)
	c, calls := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.invalid/", http.StatusMovedPermanently)
	})
	err := c.LogTags(t.Context(), "r", map[string]string{"a": "b"})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, c.Server(), e.Server)
	require.Equal(t, "POST mlflow/runs/log-batch", e.Call)
	messages.Add("redirect", errors.New(strings.ReplaceAll(err.Error(), e.Server, "SERVER")))
	require.Positive(t, calls.Load())
}

func TestBatchesAreSplit(t *testing.T) {
	type received struct {
		Params, Tags []keyValue
		Metrics      []json.RawMessage
	}
	var batches []received
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var b received
		if len(body) > 1_000_000 || !bytes.HasSuffix(body, []byte(`"run_id":"r"}`)) || json.Unmarshal(body, &b) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		batches = append(batches, b)
	})
	params, tags := map[string]string{}, map[string]string{}
	for i := range 250 {
		params[fmt.Sprint("p", i)] = strings.Repeat("ё", 5999)
		tags[fmt.Sprint("t", i)] = "x"
	}
	metrics := make([]Metric, 2001)
	for i := range metrics {
		metrics[i] = Metric{Key: "loss", Value: math.NaN(), Step: int64(i), Time: time.UnixMilli(5)}
	}
	require.NoError(t, c.LogParams(t.Context(), "r", params))
	require.NoError(t, c.LogTags(t.Context(), "r", tags))
	require.NoError(t, c.LogMetrics(t.Context(), "r", metrics))
	var sizes [3]int
	for _, b := range batches {
		require.LessOrEqual(t, len(b.Params), 100)
		require.LessOrEqual(t, len(b.Tags), 100)
		require.LessOrEqual(t, len(b.Metrics), 1000)
		sizes[0] += len(b.Params)
		sizes[1] += len(b.Tags)
		sizes[2] += len(b.Metrics)
	}
	require.Equal(t, [3]int{250, 250, 2001}, sizes)
	require.JSONEq(t, `{"key":"loss","value":"NaN","timestamp":5,"step":2000}`, string(batches[len(batches)-1].Metrics[0]))
}

// TestTooLongIsRefused: the server would cut and answer 200.
func TestTooLongIsRefused(t *testing.T) {
	c, calls := serve(t, answer(200, "application/json", `{}`))
	long := strings.Repeat("é", 8001)
	for name, err := range map[string]error{
		"param": c.LogParams(t.Context(), "r", map[string]string{"a": long[:2*6001]}),
		"tag":   c.LogTags(t.Context(), "r", map[string]string{"a": long}),
		"new run": func() error {
			_, err := c.CreateRun(t.Context(), NewRun{Tags: map[string]string{"a": long}})
			return err
		}(),
		"digest": c.LogDataset(t.Context(), "r", Dataset{Name: "x", Digest: strings.Repeat("a", 37)}),
		"status": c.UpdateRun(t.Context(), "r", "DONE", time.Now()),
	} {
		var e *Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, Invalid, e.Kind, name)
	}
	require.Zero(t, calls.Load())
	short, cut := CutTag(long)
	require.True(t, cut)
	require.Equal(t, strings.Repeat("é", 8000), short)
	same, cut := CutParam(long[:2*6000])
	require.False(t, cut)
	require.Equal(t, long[:2*6000], same)
}

func TestTolerantNumbers(t *testing.T) {
	var m metricJSON
	require.NoError(t, json.Unmarshal([]byte(`{"value":"NaN","timestamp":"1795449770568","step":7}`), &m))
	require.True(t, math.IsNaN(float64(m.Value)))
	require.EqualValues(t, 1795449770568, m.Timestamp)
	require.EqualValues(t, 7, m.Step)
	require.NoError(t, json.Unmarshal([]byte(`{"value":"-Infinity","step":null}`), &m))
	require.True(t, math.IsInf(float64(m.Value), -1))
	require.Error(t, json.Unmarshal([]byte(`{"value":"many"}`), &m))
	require.Error(t, json.Unmarshal([]byte(`{"step":1.5}`), &m))
}

// TestListingIsDistrusted: names come from the network.
func TestListingIsDistrusted(t *testing.T) {
	c, _ := serve(t, answer(200, "application/json", `{"files":[{"path":"..","file_size":"3"}]}`))
	_, err := c.ListArtifacts(t.Context(), "mlflow-artifacts:/1")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Unavailable, e.Kind)

	c, _ = serve(t, answer(200, "application/json", `{"files":[{"path":"again","is_dir":true}]}`))
	_, err = c.ListArtifacts(t.Context(), "mlflow-artifacts:/1")
	require.ErrorAs(t, err, &e, "a folder in itself, without end")
	require.Equal(t, Unavailable, e.Kind)
	for _, uri := range []string{"s3://bucket/x", "/local/path", "mlflow-artifacts:/../x", "mlflow-artifacts:/", "file:///etc"} {
		require.False(t, Proxied(uri), uri)
		_, err := c.ListArtifacts(t.Context(), uri)
		require.True(t, errors.As(err, &e) && e.Kind == Invalid, uri)
	}
	require.True(t, Proxied("mlflow-artifacts://host:5000/1/models/m-1/artifacts"))
}

func TestBrokenTransfer(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "only this")
	})
	body, size, err := c.OpenArtifact(t.Context(), "mlflow-artifacts:/1", "f")
	require.NoError(t, err)
	defer func() { _ = body.Close() }()
	require.EqualValues(t, 100, size)
	_, err = io.ReadAll(body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// The client of Go takes credentials along to another port of the same host.
func TestRedirectsElsewhereLoseTheCredentials(t *testing.T) {
	got := make(chan string, 2)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "{}")
	}))
	defer elsewhere.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/again") {
			got <- r.Header.Get("Authorization")
			_, _ = io.WriteString(w, "{}")
			return
		}
		target := elsewhere.URL
		if r.URL.Query().Get("run_id") == "here" {
			target = "/again"
		}
		http.Redirect(w, r, target, http.StatusFound)
	}))
	defer first.Close()
	c := client(t, Options{TrackingURI: first.URL, Credentials: Credentials{Token: "tok"}, RetryFor: -1})
	_, err := c.GetRun(t.Context(), "there")
	require.NoError(t, err)
	require.Empty(t, <-got, "another port")
	_, err = c.GetRun(t.Context(), "here")
	require.NoError(t, err)
	require.Equal(t, "Bearer tok", <-got, "the same server")
}

func TestVersion(t *testing.T) {
	for body, want := range map[string]string{"3.17.2": "3.17.2", "2.22.0\n": "2.22.0", "3.1.0rc1": "3.1.0rc1", "<html>": "", "": ""} {
		c, _ := serve(t, answer(200, "text/plain", body))
		got, err := c.Version(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// A server with users forbids to ask for an alias of a model that is not there.
func TestForbiddenAlias(t *testing.T) {
	for _, test := range []struct {
		name string
		get  http.HandlerFunc
		kind Kind
	}{
		{"no such model", answer(404, "application/json", `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"none"}`), NotFound},
		{"somebody else's", answer(403, "text/html", "Permission denied"), Invalid},
		{"one without the alias's permission", answer(200, "application/json", `{"registered_model":{"name":"m"}}`), Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/registered-models/get") {
					test.get(w, r)
					return
				}
				answer(403, "text/html; charset=utf-8", "Permission denied")(w, r)
			})
			_, err := c.VersionByAlias(t.Context(), "m", "champion")
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.kind, e.Kind)
			require.NotContains(t, err.Error(), "--allowed-hosts")
		})
	}
}

func TestAnotherModelsVersionIsRefused(t *testing.T) {
	const other = `{"name":"other","version":"7","creation_timestamp":1}`
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/search") {
			answer(200, "application/json", `{"model_versions":[`+other+`]}`)(w, r)
			return
		}
		answer(200, "application/json", `{"model_version":`+other+`}`)(w, r)
	})
	for name, ask := range map[string]func() error{
		"alias":  func() error { _, err := c.VersionByAlias(t.Context(), "m", "champion"); return err },
		"number": func() error { _, err := c.GetVersion(t.Context(), "m", "7"); return err },
		"list":   func() error { _, err := c.Versions(t.Context(), "m", 0); return err },
	} {
		var e *Error
		require.ErrorAs(t, ask(), &e, name)
		require.Equal(t, Unavailable, e.Kind, name)
		require.Contains(t, e.Message, `"other"`, name)
	}
}

// JSON has no years past 9999.
func TestTimesOutOfBoundsAreNone(t *testing.T) {
	require.True(t, number(1e18).time().IsZero())
	require.True(t, number(-1e18).time().IsZero())
	require.Equal(t, 9999, number(lastMillis).time().Year())
	_, err := json.Marshal(number(lastMillis).time())
	require.NoError(t, err)
}

func TestPagesWithoutEnd(t *testing.T) {
	c, calls := serve(t, answer(200, "application/json", `{"next_page_token":"again"}`))
	_, err := c.Versions(t.Context(), "m", 0)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Unavailable, e.Kind)
	require.EqualValues(t, maxPages, calls.Load())
	_, err = c.MetricHistory(t.Context(), "r", "loss")
	require.ErrorAs(t, err, &e)
	require.EqualValues(t, 2*maxPages, calls.Load())
}

// A server that drips holds nobody for longer than the timeout.
func TestDrippingFile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}))
	defer server.Close()
	c := client(t, Options{TrackingURI: server.URL, RetryFor: -1, Timeout: 200 * time.Millisecond})
	body, _, err := c.OpenArtifact(t.Context(), "mlflow-artifacts:/1", "f")
	require.NoError(t, err)
	defer func() { _ = body.Close() }()
	_, err = io.ReadAll(io.LimitReader(body, 2000)) // ten seconds of it
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Unavailable, e.Kind)
}

// One that is slow, but goes on, is waited for.
func TestSlowFile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 10 {
			_, _ = w.Write(make([]byte, leastProgress))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(60 * time.Millisecond)
		}
	}))
	defer server.Close()
	c := client(t, Options{TrackingURI: server.URL, RetryFor: -1, Timeout: 300 * time.Millisecond})
	body, _, err := c.OpenArtifact(t.Context(), "mlflow-artifacts:/1", "f")
	require.NoError(t, err)
	defer func() { _ = body.Close() }()
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Len(t, content, 10*leastProgress)
}
