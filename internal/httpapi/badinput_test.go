package httpapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/token"
	"github.com/petal-ml/petal/tests/testenv"
)

// A badInput is something that clients and attackers send, and the only right
// answer to it.
type badInput struct {
	number  int
	name    string
	request string // all that goes over the wire
	status  int    // 0: the connection is closed without a word
	// says is in the body; challenge is how WWW-Authenticate begins.
	says, challenge string
}

const (
	bareChallenge    = `Bearer realm="petal"`
	invalidToken     = `Bearer realm="petal", error="invalid_token"`
	invalidRequest   = `Bearer realm="petal", error="invalid_request"`
	insufficient     = `Bearer realm="petal", error="insufficient_scope", error_description="the token does not have the scope predict", scope="predict"`
	setosaRow        = `{"features":[5.1,3.5,1.4,0.2]}`
	formType         = "application/x-www-form-urlencoded"
	otherKey         = "mT4kW8zQ1vX6cN9rY3bL7jH2gP5sD0fA"
	throttleFailures = 10
)

// The 25 bad inputs, as bytes on a socket, to a server that takes the fast path
// where it can and to one that takes the strict path for all.
func TestBadInputs(t *testing.T) {
	for path, level := range map[string]slog.Level{"fast": slog.LevelInfo, "strict": slog.LevelDebug} {
		t.Run(path, func(t *testing.T) {
			f := newFixture(t, func(c *config, s *http.Server) {
				c.Log = slog.New(slog.NewTextHandler(new(testenv.Buffer), &slog.HandlerOptions{Level: level}))
				s.ReadHeaderTimeout, s.ReadTimeout, c.Timeouts.Read = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
			})
			require.Equal(t, 200, f.raw(t, f.predictRequest(setosaRow)).status)
			seen := map[int]bool{}
			for _, in := range append(append(f.badBodies(), f.badTransfers(t)...), f.badCredentials(t)...) {
				seen[in.number] = true
				t.Run(fmt.Sprintf("%d %s", in.number, in.name), func(t *testing.T) { f.requireRefused(t, in) })
			}
			t.Run("24 unknown user and wrong password are the same bytes", func(t *testing.T) {
				unknown := f.raw(t, loginRequest(form("username", "nobody", "password", "wrong-password"), ""))
				wrong := f.raw(t, loginRequest(form("username", testUser, "password", "wrong-password"), ""))
				requireOAuth(t, unknown, 400, "invalid_grant")
				assert.Equal(t, unknown.body, wrong.body)
			})
			t.Run("25 brute force with a forged X-Forwarded-For", func(t *testing.T) {
				var last answer
				for i := range throttleFailures + 1 {
					guess := form("username", testUser, "password", "wrong-password-"+strconv.Itoa(i))
					last = f.raw(t, loginRequest(guess, fmt.Sprintf("X-Forwarded-For: 203.0.113.%d\r\n", i)))
				}
				requireOAuth(t, last, 429, "temporarily_unavailable")
				assert.NotEmpty(t, last.header.Get("Retry-After"))
			})
			for n := 1; n <= 23; n++ {
				assert.True(t, seen[n], "row %d", n)
			}
			require.Equal(t, 200, f.raw(t, f.predictRequest(setosaRow)).status, "the server is unharmed")
		})
	}
}

func (f *fixture) requireRefused(t *testing.T, in badInput) {
	t.Helper()
	if in.status == 0 {
		f.requireClosed(t, in.request)
		return
	}
	a := f.raw(t, in.request)
	switch {
	case strings.HasPrefix(in.request, "POST /token"):
		requireOAuth(t, a, in.status, in.says)
	default:
		requireProblem(t, a, in.status)
		assert.Contains(t, a.body, in.says)
	}
	got := a.header.Get("WWW-Authenticate")
	if in.challenge == bareChallenge || in.challenge == "" {
		assert.Equal(t, in.challenge, got)
	} else {
		assert.True(t, strings.HasPrefix(got, in.challenge), got)
	}
	assert.NotContains(t, a.body, "zzz", "the answer repeats what was sent")
	assert.Less(t, len(a.body), 700)
}

// requireClosed waits until the server hangs up.
func (f *fixture) requireClosed(t *testing.T, request string) {
	t.Helper()
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	_, err = bufio.NewReader(conn).ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func (f *fixture) predictRequest(body string) string {
	return post("/predict", f.token, "Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n", body)
}

func post(target, bearer, headers, body string) string {
	if bearer != "" {
		headers = "Authorization: Bearer " + bearer + "\r\n" + headers
	}
	return "POST " + target + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + body
}

func loginRequest(body, headers string) string {
	return post("/token", "", headers+"Content-Type: "+formType+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n", body)
}

// badBodies are rows 1 to 12: JSON that is no row of numbers.
func (f *fixture) badBodies() []badInput {
	row := func(number int, name, body, location string) badInput {
		return badInput{number, name, f.predictRequest(body), 422, `"location":"` + location + `"`, ""}
	}
	return []badInput{
		row(1, "features null", `{"features":null}`, "body.features"),
		row(2, "a null element", `{"features":[5.1,3.5,1.4,null]}`, "body.features[3]"),
		row(3, "3 features", `{"features":[5.1,3.5,1.4]}`, "body.features"),
		row(3, "5 features", `{"features":[5.1,3.5,1.4,0.2,1]}`, "body.features"),
		row(4, "a string", `{"features":[5.1,3.5,1.4,"1"]}`, "body.features[3]"),
		row(4, "true", `{"features":[5.1,true,1.4,0.2]}`, "body.features[1]"),
		row(5, "NaN", `{"features":[5.1,NaN,1.4,0.2]}`, "body.features[1]"),
		row(5, "Infinity", `{"features":[5.1,3.5,1.4,Infinity]}`, "body.features[3]"),
		row(5, "-Infinity", `{"features":[5.1,3.5,1.4,-Infinity]}`, "body.features[3]"),
		row(6, "1e309", `{"features":[5.1,3.5,1e309,0.2]}`, "body.features[2]"),
		row(7, "±1.7e308", `{"features":[1.7e308,1.7e308,-1.7e308,-1.7e308]}`, "body.features[0]"),
		row(7, "within float32, NaN in the model", `{"features":[3.4e38,3.4e38,-3.4e38,-3.4e38]}`, "body.features"),
		row(8, "a duplicate key", `{"features":[5.1,3.5,1.4,0.2],"features":[1,1,1,1]}`, "body"),
		row(9, "FEATURES", `{"FEATURES":[5.1,3.5,1.4,0.2]}`, "body"),
		row(9, "an unknown key", `{"features":[5.1,3.5,1.4,0.2],"zzz":1}`, "body"),
		row(10, "JSON, then something", setosaRow+`zzz`, "body"),
		row(10, "JSON, then JSON", setosaRow+setosaRow, "body"),
		row(10, "JSON, then NUL", setosaRow+"\x00", "body"),
		row(11, "a byte order mark", "\xef\xbb\xbf"+setosaRow, "body"),
		row(11, "invalid UTF-8", "{\"features\":[5.1,3.5,1.4,0.2],\"\xff\":1}", "body"),
		row(12, "nesting as deep as the limit lets it", `{"features":`+strings.Repeat("[", maxBody-12), "body.features[0]"),
		row(12, "nesting of objects", strings.Repeat(`{"features":`, 300), "body.features"),
	}
}

// badTransfers are rows 13 to 16: what is wrong with a body as a whole.
func (f *fixture) badTransfers(t *testing.T) []badInput {
	t.Helper()
	large := setosaRow + strings.Repeat(" ", maxBody)
	length := "Content-Length: 30\r\n"
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	row := func(number int, name, headers, body string, status int, kind string) badInput {
		return badInput{number, name, post("/predict", f.token, headers, body), status, "urn:petal:problem:" + kind, ""}
	}
	return []badInput{
		row(13, "declared too large", "Content-Type: application/json\r\nContent-Length: 99999999\r\n", "", 413, "too-large"),
		row(13, "chunked too large", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", chunked(large), 413, "too-large"),
		row(14, "a gzip bomb", "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: "+strconv.Itoa(bomb.Len())+"\r\n", bomb.String(), 415, "unsupported-media-type"),
		row(14, "deflate that is none", "Content-Type: application/json\r\nContent-Encoding: deflate\r\n"+length, setosaRow, 415, "unsupported-media-type"),
		row(15, "text/plain", "Content-Type: text/plain\r\n"+length, setosaRow, 415, "unsupported-media-type"),
		row(15, "no Content-Type", length, setosaRow, 415, "unsupported-media-type"),
		row(15, "a form", "Content-Type: "+formType+"\r\n"+length, setosaRow, 415, "unsupported-media-type"),
		row(16, "a slow body", "Content-Type: application/json\r\n"+length, `{"feat`, 408, "timeout"),
		{16, "slow headers", "POST /predict HTTP/1.1\r\nHost: x\r\nX-Slow: ", 0, "", ""},
	}
}

// badCredentials are rows 17 to 24: who is not let in. No body is sent with a
// token, as none may be waited for.
func (f *fixture) badCredentials(t *testing.T) []badInput {
	t.Helper()
	row := func(number int, name, headers string, status int, challenge string) badInput {
		return badInput{number, name, post("/predict", "", headers+"Content-Type: application/json\r\nContent-Length: 30\r\n", ""), status, "urn:petal:problem:", challenge}
	}
	bearer := func(number int, name, raw string) badInput {
		return row(number, name, "Authorization: Bearer "+raw+"\r\n", 401, invalidToken)
	}
	login := func(number int, name, body, code string) badInput {
		return badInput{number, name, loginRequest(body, ""), 400, code, ""}
	}
	mine := "Authorization: Bearer " + f.token + "\r\n"
	inURL := row(21, "?access_token=", "", 400, invalidRequest)
	inURL.request = strings.Replace(inURL.request, "/predict", "/predict?access_token="+f.token, 1)
	readOnly := f.issue(t, token.Grant{Subject: testUser, Scopes: []string{account.ScopeModelRead}})
	json := loginRequest(`{"username":"student","password":"x"}`, "")
	rows := []badInput{
		row(17, "no token", "", 401, bareChallenge),
		row(17, "another scheme", "Authorization: Basic c3R1ZGVudDp4\r\n", 401, bareChallenge),
		inURL,
		row(21, "two Authorization headers", mine+mine, 400, invalidRequest),
		row(22, "a missing scope", "Authorization: Bearer "+readOnly+"\r\n", 403, insufficient),
		{23, "JSON", strings.Replace(json, formType, "application/json", 1), 400, "invalid_request", ""},
		login(23, "a repeated parameter", form("username", testUser, "username", testUser, "password", testPassword), "invalid_request"),
		login(23, "another grant", form("grant_type", "client_credentials", "username", testUser, "password", testPassword), "unsupported_grant_type"),
		login(24, "an unknown user", form("username", "zzz", "password", testPassword), "invalid_grant"),
		login(24, "73 bytes", form("username", testUser, "password", strings.Repeat("z", 73)), "invalid_grant"),
	}
	for name, raw := range f.forgeries(t, 18) {
		rows = append(rows, bearer(18, name, raw))
	}
	for name, raw := range f.forgeries(t, 19) {
		rows = append(rows, bearer(19, name, raw))
	}
	for name, raw := range f.forgeries(t, 20) {
		rows = append(rows, bearer(20, name, raw))
	}
	return rows
}

// forgeries are tokens made of a genuine one, by the row that they stand in.
func (f *fixture) forgeries(t *testing.T, number int) map[string]string {
	t.Helper()
	now := time.Now().Unix()
	header := func(name string, value any) string {
		return f.forge(t, testKey, sha256.New, func(h, _ map[string]any) { h[name] = value })
	}
	claim := func(pairs ...any) string {
		return f.forge(t, testKey, sha256.New, func(_, c map[string]any) {
			for i := 0; i < len(pairs); i += 2 {
				c[pairs[i].(string)] = pairs[i+1]
			}
		})
	}
	switch number {
	case 18:
		unsigned := header("alg", "none")
		return map[string]string{
			"alg none":               unsigned[:strings.LastIndex(unsigned, ".")+1],
			"alg none, signed":       unsigned,
			"alg HS512":              f.forge(t, testKey, sha512.New, func(h, _ map[string]any) { h["alg"] = "HS512" }),
			"alg RS256, HMAC inside": header("alg", "RS256"),
			"jku":                    header("jku", "https://attacker.example/keys"),
			"jwk":                    header("jwk", map[string]any{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte(otherKey))}),
			"kid a path":             header("kid", "../../dev/null"),
		}
	case 19:
		return map[string]string{
			"expired":        claim("iat", now-120, "exp", now-60),
			"not yet valid":  claim("nbf", now+600),
			"iat to come":    claim("iat", now+600, "exp", now+1200),
			"exp beyond cap": claim("exp", now+48*3600),
			"no exp":         claim("exp", nil),
			"aud":            claim("aud", "another-api"),
			"iss":            claim("iss", "attacker"),
			"typ":            header("typ", "JWT"),
			"crit":           header("crit", []string{"exp"}),
			"no sub":         claim("sub", ""),
		}
	default:
		last := f.token[len(f.token)-1:]
		altered := "A"
		if last == "A" {
			altered = "B"
		}
		revoked := f.issue(t, token.Grant{Subject: testUser, Scopes: account.DefaultScopes()})
		require.Equal(t, 200, f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+revoked).status)
		id := decodePart(t, strings.Split(revoked, ".")[1])["jti"].(string)
		require.NoError(t, f.accounts.RevokeToken(t.Context(), id, time.Now().Add(time.Hour)))
		require.NoError(t, f.guard.Refresh(t.Context()))
		retired, err := token.NewKeyring([]byte(otherKey))
		require.NoError(t, err)
		return map[string]string{
			"last sign altered": f.token[:len(f.token)-1] + altered,
			"another key":       f.forge(t, otherKey, sha256.New, func(_, _ map[string]any) {}),
			"revoked":           revoked,
			"retired kid":       f.forge(t, otherKey, sha256.New, func(h, _ map[string]any) { h["kid"] = retired.KeyID() }),
		}
	}
}

// forge changes a genuine token and signs it with a key by HMAC.
func (f *fixture) forge(t *testing.T, key string, digest func() hash.Hash, change func(header, claims map[string]any)) string {
	t.Helper()
	parts := strings.Split(f.token, ".")
	header, claims := decodePart(t, parts[0]), decodePart(t, parts[1])
	change(header, claims)
	input := encodePart(t, header) + "." + encodePart(t, claims)
	mac := hmac.New(digest, []byte(key))
	_, _ = mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func decodePart(t *testing.T, part string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var content map[string]any
	require.NoError(t, d.Decode(&content))
	return content
}

func encodePart(t *testing.T, content map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(content)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// A token that forge leaves as it is, is good: what refuses the others is what
// was changed.
func TestForgeIsGenuine(t *testing.T) {
	f := newFixture(t)
	raw := f.forge(t, testKey, sha256.New, func(_, _ map[string]any) {})
	require.Equal(t, 200, f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+raw).status)
}
