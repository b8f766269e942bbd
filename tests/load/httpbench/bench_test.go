//go:build bench

package httpbench

import (
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/load/rounds"
	"github.com/petal-ml/petal/tests/testenv"
)

//go:embed app.py
var fastAPI string

const (
	roundsVar = "PETAL_BENCH_ROUNDS" // 10 where it is not set
	row       = `{"features":[5.1,3.5,1.4,0.2]}`
	frame     = `{"dataframe_split":{"columns":["sepal_length","sepal_width","petal_length","petal_width"],"data":[[5.1,3.5,1.4,0.2]]}}`
	logins    = 5 // before the load, so that memory includes what they leave
	loadTime  = "2s"
)

// What Petal promises; a figure that misses is marked.
const (
	goalRate     = .90 // of the bare server's
	goalP99      = 1.5 // times the bare server's
	goalResident = 40  // MB
)

// A contender is a server under test, and what the rounds measured.
type contender struct {
	name, address string
	path, body    string
	token         string
	process       *testenv.Process
	start         time.Duration // until it is ready
	rates         rounds.Sample // requests a second
	p50, p99      rounds.Sample // milliseconds
	cpu           rounds.Sample // microseconds of processors a request
}

func numRounds() int {
	if n, err := strconv.Atoi(os.Getenv(roundsVar)); err == nil {
		return n
	}
	return 10
}

func TestServersSideBySide(t *testing.T) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		testenv.Missing(t, "wrk is not installed; Debian's package is wrk")
	}
	all := contenders(t)
	var turns []func() error
	for _, c := range all {
		script := c.script(t)
		require.NoError(t, c.round(wrk, script)) // warm
		c.rates, c.p50, c.p99, c.cpu = nil, nil, nil, nil
		turns = append(turns, func() error { return c.round(wrk, script) })
	}
	require.NoError(t, rounds.Interleave(numRounds(), turns...))

	bare, petal := all[0], all[1]
	fmt.Printf("\none row, wrk with 2 threads and 64 connections; medians of %d interleaved rounds, ratios to the bare server with 95 %% intervals\n", numRounds())
	fmt.Printf("%-20s %10s %18s %8s %8s %8s %20s %8s %9s\n", "server", "requests/s", "ratio", "CPU µs", "p50 ms", "p99 ms", "ratio of p99", "RSS MB", "ready ms")
	for _, c := range all {
		fmt.Printf("%-20s %10.0f %18v %8.1f %8.2f %8.2f %20v %8.1f %9.0f\n", c.name, c.rates.Median(), c.rates.Over(bare.rates),
			c.cpu.Median(), c.p50.Median(), c.p99.Median(), c.p99.Over(bare.p99), c.residentMB(), float64(c.start.Microseconds())/1000)
	}
	rate, p99 := petal.rates.Over(bare.rates).Median(), petal.p99.Over(bare.p99).Median()
	fmt.Printf("Petal: ratio %.2f (goal %.2f%s), p99 %.2f (goal %.1f%s), %.1f MB after %d logins (goal %d%s)\n",
		rate, goalRate, missed(rate < goalRate), p99, goalP99, missed(p99 > goalP99),
		petal.residentMB(), logins, goalResident, missed(petal.residentMB() > goalResident))
}

func missed(is bool) string {
	if is {
		return ", MISSED"
	}
	return ""
}

func contenders(t *testing.T) []*contender {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	claims := jwt.MapClaims{"sub": "student", "scope": "predict", "exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
	require.NoError(t, err)
	own := func(kind string) *contender {
		address := testenv.FreeAddress(t)
		c := &contender{name: kind, address: address, token: token}
		return c.begin(t, "/ready", testenv.Command{Path: self, Env: testenv.Environ(serverVariable + "=" + kind + ":" + address)})
	}
	petal := installation.New(t)
	petal.Train()
	return []*contender{own("bare"), startPetal(t, petal), own("idiomatic"), startFastAPI(t, token), startMLflow(t, petal)}
}

// startPetal starts the API as `make run` does, with the last good model on its
// disk.
func startPetal(t *testing.T, petal *installation.Installation) *contender {
	t.Helper()
	petal.StartAPI().Process.Stop(time.Minute)
	address := testenv.FreeAddress(t)
	c := &contender{name: "petal", address: address}
	c.begin(t, "/ready", testenv.Command{Path: petal.Programs.API, Args: []string{"serve"}, Dir: petal.Dir, Env: append(petal.Env, "API_ADDRESS="+address)})
	api := installation.Attach(t, "http://"+address, c.process)
	for range logins {
		api.Login(petal.Read("var/initial_password"))
	}
	c.token = api.Token()
	return c
}

func startFastAPI(t *testing.T, token string) *contender {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.py"), []byte(fastAPI), 0o600))
	c := &contender{name: "fastapi, 2 workers", address: testenv.FreeAddress(t), token: token}
	return c.begin(t, "/ready", testenv.Command{
		Path: testenv.Python(t), Dir: dir, Env: testenv.Environ(),
		Args: []string{"-m", "uvicorn", "app:app", "--port", c.port(), "--workers", "2", "--no-access-log", "--log-level", "warning"},
	})
}

// startMLflow serves the model that Petal trained; MLflow knows no tokens.
func startMLflow(t *testing.T, petal *installation.Installation) *contender {
	t.Helper()
	models, err := filepath.Glob(filepath.Join(petal.Dir, "mlruns", "models", "*", "MLmodel"))
	require.NoError(t, err)
	require.Len(t, models, 1)
	tool := testenv.Tool(t, "mlflow")
	c := &contender{name: "mlflow, 2 workers", address: testenv.FreeAddress(t), path: "/invocations", body: frame}
	return c.begin(t, "/ping", testenv.Command{
		Path: tool, Args: []string{"models", "serve", "-m", filepath.Dir(models[0]), "--env-manager", "local", "--port", c.port(), "--workers", "2"},
		Env: testenv.Environ("MLFLOW_DISABLE_TELEMETRY=true", "PATH="+filepath.Dir(tool)+string(os.PathListSeparator)+os.Getenv("PATH")),
	})
}

// begin starts the server and waits for it.
func (c *contender) begin(t *testing.T, ready string, command testenv.Command) *contender {
	t.Helper()
	begun := time.Now()
	c.process = testenv.Start(t, command)
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + c.address + ready)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, 2*time.Minute, 2*time.Millisecond, c.name)
	c.start = time.Since(begun)
	return c
}

func (c *contender) port() string {
	_, port, _ := strings.Cut(c.address, ":")
	return port
}

func (c *contender) residentMB() float64 { return c.process.ResidentMiB() * (1 << 20) / 1e6 }

// script tells wrk what to send, after one answer was looked at: wrk looks at
// statuses alone.
func (c *contender) script(t *testing.T) string {
	t.Helper()
	if c.path == "" {
		c.path, c.body = "/predict", row
	}
	answer := installation.Attach(t, "http://"+c.address, c.process).Do(http.MethodPost, c.path, "application/json", c.body, c.token)
	require.Equal(t, http.StatusOK, answer.Status, "%s: %s", c.name, answer.Body)
	require.Contains(t, string(answer.Body), "setosa", c.name)
	lua := "wrk.method = 'POST'\nwrk.path = '" + c.path + "'\nwrk.body = '" + c.body + "'\nwrk.headers['Content-Type'] = 'application/json'\n"
	if c.token != "" {
		lua += "wrk.headers['Authorization'] = 'Bearer " + c.token + "'\n"
	}
	path := filepath.Join(t.TempDir(), "load.lua")
	require.NoError(t, os.WriteFile(path, []byte(lua), 0o600))
	return path
}

var (
	countOf   = regexp.MustCompile(`(\d+) requests in`)
	rateOf    = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	latencyOf = regexp.MustCompile(`\s(50|99)%\s+([\d.]+)(us|ms|s)`)
)

func (c *contender) round(wrk, script string) error {
	before := c.process.CPUTime()
	output, err := exec.Command(wrk, "-t2", "-c64", "-d"+loadTime, "--timeout", "10s", "--latency", "-s", script, "http://"+c.address).CombinedOutput()
	used, text := c.process.CPUTime()-before, string(output)
	if err != nil {
		return fmt.Errorf("%s: wrk: %w\n%s", c.name, err, text)
	}
	if strings.Contains(text, "Non-2xx") || strings.Contains(text, "Socket errors") || !rateOf.MatchString(text) {
		return fmt.Errorf("%s: not every answer was as it should be\n%s", c.name, text)
	}
	count, err := strconv.Atoi(countOf.FindStringSubmatch(text)[1])
	if err != nil {
		return err
	}
	c.cpu = append(c.cpu, float64(used.Microseconds())/float64(count))
	rate, err := strconv.ParseFloat(rateOf.FindStringSubmatch(text)[1], 64)
	if err != nil {
		return err
	}
	c.rates = append(c.rates, rate)
	for _, found := range latencyOf.FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return err
		}
		v *= map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[found[3]]
		if found[1] == "50" {
			c.p50 = append(c.p50, v)
		} else {
			c.p99 = append(c.p99, v)
		}
	}
	return nil
}
