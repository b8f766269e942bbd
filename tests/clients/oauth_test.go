package clients

import (
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

//go:embed oauth.py
var oauthScript string

// requests-oauthlib logs in by oauthlib's password flow, over TLS: it refuses
// anything else.
func TestOAuthClient(t *testing.T) {
	testenv.Python(t)
	petal := installation.New(t)
	petal.Train()
	address := testenv.FreeAddress(t)
	authority, settings := certificate(t, petal)
	served := petal.With(append(settings, "API_ADDRESS="+address)...)
	process := testenv.Start(t, testenv.Command{Path: petal.Programs.API, Args: []string{"serve"}, Env: served.Env, Dir: petal.Dir})
	process.WaitOutput(`"tls":true`, time.Minute)
	process.WaitOutput("model serves", time.Minute)

	type refusal struct{ Error, Description string }
	var got struct {
		Label, Type    string
		Scopes, Narrow []string
		Lifetime       int
		NarrowPredicts int `json:"narrow_predicts"`
		Denied         []any
		WrongPassword  refusal `json:"wrong_password"`
		UnknownScope   refusal `json:"unknown_scope"`
	}
	output := testenv.RunPython(t, oauthScript, nil, "https://"+address, authority, strings.TrimSpace(petal.Read("var/initial_password")))
	require.NoError(t, json.Unmarshal(output, &got))
	require.Equal(t, "setosa", got.Label)
	require.Equal(t, "bearer", got.Type)
	require.Equal(t, []string{"model:read", "predict"}, got.Scopes)
	require.Equal(t, 1800, got.Lifetime)
	require.Equal(t, []string{"predict"}, got.Narrow)
	require.Equal(t, 200, got.NarrowPredicts)
	require.Equal(t, []any{403.0, `Bearer realm="petal", error="insufficient_scope", error_description="the token does not have the scope model:read", scope="model:read"`}, got.Denied)
	require.Equal(t, refusal{"invalid_grant", "the user name or the password is wrong"}, got.WrongPassword)
	require.Equal(t, "invalid_scope", got.UnknownScope.Error)
	t.Run("Node over HTTP/2", func(t *testing.T) {
		requireNodeAnswered(t, "https://"+address, authority, strings.TrimSpace(petal.Read("var/initial_password")))
	})
}

//go:embed http2.mjs
var http2Script string

// requireNodeAnswered has Node's own client of HTTP/2 send good requests and bad ones
// on one connection: none is lost.
func requireNodeAnswered(t *testing.T, address, authority, password string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		testenv.Missing(t, "node is not installed: %v", err)
	}
	pem, err := os.ReadFile(authority)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	resp, err := client.PostForm(address+"/token", url.Values{"username": {"student"}, "password": {password}})
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var login struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&login))
	script := filepath.Join(t.TempDir(), "http2.mjs")
	require.NoError(t, os.WriteFile(script, []byte(http2Script), 0o600))
	output, err := exec.CommandContext(t.Context(), node, script, address, authority, login.AccessToken).CombinedOutput()
	require.NoError(t, err, string(output))
	var got map[string]map[string]int
	require.NoError(t, json.Unmarshal(output, &got), string(output))
	for _, status := range []string{"401", "404", "413", "415"} {
		require.Equal(t, map[string]int{"sessions": 1, "200": 100, status: 10}, got[status])
	}
}

// certificate writes one for 127.0.0.1 that is its own authority, and returns its
// path and the settings that serve it.
func certificate(t *testing.T, petal *installation.Installation) (authority string, settings []string) {
	t.Helper()
	certified := httptest.NewTLSServer(nil) // for its certificate
	certified.Close()
	pair := certified.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	petal.Write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	petal.Write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return filepath.Join(petal.Dir, "cert.pem"), []string{"TLS_CERT_FILE=cert.pem", "TLS_KEY_FILE=key.pem"}
}
