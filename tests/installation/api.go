package installation

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// An API is a running API of an installation.
type API struct {
	URL     string
	Process *testenv.Process

	t     testing.TB
	token string
}

// An Answer is what the API answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// A Prediction is the answer of POST /predict for one row.
type Prediction struct {
	Label         string             `json:"label"`
	ClassIndex    int                `json:"class_index"`
	Probabilities map[string]float64 `json:"probabilities"`
	Model         Model              `json:"model"`
}

// A Model says which version answered.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// StartAPI starts the API on a free port and waits until it has a model.
func (i *Installation) StartAPI() *API {
	i.t.Helper()
	return i.StartAPIAt(testenv.FreeAddress(i.t))
}

// StartAPIAt starts the API at an address and waits until it has a model.
func (i *Installation) StartAPIAt(address string) *API {
	i.t.Helper()
	process := testenv.Start(i.t, i.With("API_ADDRESS="+address).command(i.Programs.API, []string{"serve"}))
	process.WaitReady("http://"+address+"/ready", time.Minute)
	return Attach(i.t, "http://"+address, process)
}

// Attach takes a running API that something else has started.
func Attach(t testing.TB, address string, process *testenv.Process) *API {
	return &API{URL: address, Process: process, t: t}
}

// Login gets a token with the first user's generated password.
func (a *API) Login(password string) {
	a.t.Helper()
	form := url.Values{"username": {"student"}, "password": {strings.TrimSpace(password)}}
	answer := a.Do(http.MethodPost, "/token", "application/x-www-form-urlencoded", form.Encode(), "")
	require.Equal(a.t, http.StatusOK, answer.Status, string(answer.Body))
	var token struct {
		AccessToken string `json:"access_token"`
	}
	answer.Decode(a.t, &token)
	require.NotEmpty(a.t, token.AccessToken)
	a.token = token.AccessToken
}

// Token is the token that [API.Login] got.
func (a *API) Token() string { return a.token }

// Predict asks for one row with the token.
func (a *API) Predict(row ...float64) Prediction {
	a.t.Helper()
	var prediction Prediction
	a.PostJSON("/predict", map[string]any{"features": row}, &prediction)
	return prediction
}

// PostJSON posts a value with the token, expects 200 and decodes the answer.
func (a *API) PostJSON(path string, body, answer any) {
	a.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(a.t, err)
	got := a.Do(http.MethodPost, path, "application/json", string(encoded), a.token)
	require.Equal(a.t, http.StatusOK, got.Status, string(got.Body))
	got.Decode(a.t, answer)
}

// Do sends a request; an empty content type or token is left out.
func (a *API) Do(method, path, contentType, body, token string) Answer {
	a.t.Helper()
	answer, err := a.Try(method, path, contentType, body, token)
	require.NoError(a.t, err)
	return answer
}

// Try is [API.Do] for other goroutines than the test's: it returns its error.
func (a *API) Try(method, path, contentType, body, token string) (Answer, error) {
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.URL+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: content}, nil
}

// Decode decodes the body as JSON.
func (a Answer) Decode(t testing.TB, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	require.NoError(t, decoder.Decode(into), string(a.Body))
}
