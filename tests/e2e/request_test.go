package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
)

const (
	signingKey = "a key for this test alone, long enough"
	jsonType   = "application/json"
	goodRow    = `{"features":[5.1,3.5,1.4,0.2]}`
)

func TestAPIRefusesBadRequests(t *testing.T) {
	t.Parallel()
	petal := installation.New(t, "SECRET_KEY="+signingKey)
	petal.Train()
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	for _, test := range []struct {
		name   string
		token  string
		body   string
		status int
		says   string
	}{
		{"too few features", api.Token(), `{"features":[5.1,3.5,1.4]}`, http.StatusUnprocessableEntity, "4"},
		{"too many features", api.Token(), `{"features":[5.1,3.5,1.4,0.2,9]}`, http.StatusUnprocessableEntity, "4"},
		{"a word for a number", api.Token(), `{"features":[5.1,"wide",1.4,0.2]}`, http.StatusUnprocessableEntity, "features"},
		{"a column too few by name", api.Token(), `{"features":{"sepal_length":5.1}}`, http.StatusUnprocessableEntity, "sepal_width"},
		{"no token", "", goodRow, http.StatusUnauthorized, ""},
		{"no JWT", "hunter2", goodRow, http.StatusUnauthorized, "invalid_token"},
		{"expired token", resign(t, api.Token(), time.Now().Add(-10*time.Minute)), goodRow, http.StatusUnauthorized, "invalid_token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := api.Do(http.MethodPost, "/predict", jsonType, test.body, test.token)
			require.Equal(t, test.status, answer.Status, string(answer.Body))
			require.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
			require.Contains(t, string(answer.Body)+answer.Header.Get("WWW-Authenticate"), test.says)
		})
	}
	// The same key and another expiry: it is the time alone that is refused above.
	good := resign(t, api.Token(), time.Now().Add(time.Minute))
	require.Equal(t, http.StatusOK, api.Do(http.MethodPost, "/predict", jsonType, goodRow, good).Status)
	require.NotContains(t, api.Process.Output(), strings.TrimSpace(petal.Read("var/initial_password")), "the log holds the password")
	require.NotContains(t, api.Process.Output(), api.Token(), "the log holds a token")
}

// resign gives a token of the API's another expiry.
func resign(t *testing.T, token string, expiry time.Time) string {
	t.Helper()
	key := func(*jwt.Token) (any, error) { return []byte(signingKey), nil }
	parsed, err := jwt.Parse(token, key, jwt.WithValidMethods([]string{"HS256"}))
	require.NoError(t, err)
	claims := parsed.Claims.(jwt.MapClaims)
	claims["iat"] = expiry.Add(-time.Minute).Unix()
	claims["exp"] = expiry.Unix()
	resigned := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	resigned.Header = parsed.Header
	signed, err := resigned.SignedString([]byte(signingKey))
	require.NoError(t, err)
	return signed
}
