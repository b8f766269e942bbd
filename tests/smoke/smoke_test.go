//go:build smoke

package smoke

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// passwordFile is the first user's, in the volume that the API keeps it in.
const passwordFile = "/var/lib/petal/var/initial_password"

// settle is how long the services get to find each other after a start.
const settle = time.Minute

func address(t *testing.T, service, path string) string {
	t.Helper()
	variable := strings.ToUpper(service) + "_URL"
	base := os.Getenv(variable)
	require.NotEmpty(t, base, "%s is not set: run these tests by `docker compose run --rm tests`", variable)
	return base + path
}

func ask(t *testing.T, request *http.Request) (status int, body []byte) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, body
}

func get(t *testing.T, service, path, token string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address(t, service, path), http.NoBody)
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	status, body := ask(t, request)
	require.Equal(t, http.StatusOK, status, "%s %s: %s", service, path, body)
	if into != nil {
		require.NoError(t, json.Unmarshal(body, into), "%s", body)
	}
}

func login(t *testing.T) string {
	t.Helper()
	password := os.Getenv("API_PASSWORD")
	if data, err := os.ReadFile(passwordFile); err == nil {
		password = strings.TrimSpace(string(data))
	}
	require.NotEmpty(t, password, "no password: set API_PASSWORD in .env to the one of API_USERNAME")
	form := url.Values{"username": {os.Getenv("API_USERNAME")}, "password": {password}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address(t, "api", "/token"), strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body := ask(t, request)
	require.Equal(t, http.StatusOK, status, "%s", body)
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	require.Equal(t, "bearer", answer.TokenType)
	return answer.AccessToken
}

// The API serves the version that the alias points to in the registry.
func TestChampionIsServed(t *testing.T) {
	name, alias := os.Getenv("MODEL_NAME"), os.Getenv("MODEL_ALIAS")
	var info struct {
		Name, Version string
		Features      []struct{ Name string }
	}
	get(t, "api", "/model-info", login(t), &info)
	require.Equal(t, name, info.Name)
	require.NotEmpty(t, info.Features)
	var registered struct {
		Version struct {
			Version string `json:"version"`
		} `json:"model_version"`
	}
	query := url.Values{"name": {name}, "alias": {alias}}.Encode()
	get(t, "mlflow", "/api/2.0/mlflow/registered-models/alias?"+query, "", &registered)
	require.Equal(t, registered.Version.Version, info.Version)
}

// A prediction for as many numbers as the model has features.
func TestPrediction(t *testing.T) {
	token := login(t)
	var info struct{ Features []struct{ Name string } }
	get(t, "api", "/model-info", token, &info)
	body, err := json.Marshal(map[string]any{"features": make([]float64, len(info.Features))})
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address(t, "api", "/predict"), strings.NewReader(string(body)))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	status, _ := ask(t, request)
	require.Equal(t, http.StatusUnauthorized, status, "without a token")

	request, err = http.NewRequestWithContext(t.Context(), http.MethodPost, request.URL.String(), strings.NewReader(string(body)))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	status, answer := ask(t, request)
	require.Equal(t, http.StatusOK, status, "%s", answer)
	require.Contains(t, string(answer), `"label"`)
}

func TestServicesAreReady(t *testing.T) {
	for service, path := range map[string]string{
		"api": "/ready", "trainer": "/ready", "mlflow": "/health", "prometheus": "/-/ready",
		"alertmanager": "/-/ready", "grafana": "/api/health", "mailpit": "/readyz",
	} {
		t.Run(service, func(t *testing.T) { get(t, service, path, "", nil) })
	}
}

func TestPrometheusSeesEveryTarget(t *testing.T) {
	var targets struct {
		Data struct {
			ActiveTargets []struct {
				Health, LastError string
				Labels            map[string]string
			}
		}
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		get(t, "prometheus", "/api/v1/targets", "", &targets)
		require.NotEmpty(c, targets.Data.ActiveTargets)
		for _, target := range targets.Data.ActiveTargets {
			require.Equal(c, "up", target.Health, "%v: %s", target.Labels, target.LastError)
		}
	}, settle, time.Second)
}

// Watchdog always fires: where Alertmanager has it, the way of an alert is whole.
func TestAlertsReachAlertmanager(t *testing.T) {
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var alerts []struct{ Labels map[string]string }
		get(t, "alertmanager", "/api/v2/alerts", "", &alerts)
		for _, alert := range alerts {
			if alert.Labels["alertname"] == "Watchdog" {
				return
			}
		}
		require.Fail(c, "Alertmanager has no Watchdog")
	}, settle, time.Second)
}
