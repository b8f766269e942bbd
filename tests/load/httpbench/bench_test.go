//go:build bench

package httpbench

import (
	_ "embed"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

//go:embed app.py
var fastAPI string

const (
	roundsVar = "PETAL_BENCH_ROUNDS" // 10 where it is not set
	row       = `{"features":[5.1,3.5,1.4,0.2]}`
)

// A contender is a server under test, and what the rounds measured.
type contender struct {
	name, address, token string
	process              *testenv.Process
	start                time.Duration
	rates                []float64 // requests a second
	p50, p99             []float64 // milliseconds
}

// Rounds are interleaved, so that what else the machine does meets all alike.
func TestServersSideBySide(t *testing.T) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		testenv.Missing(t, "wrk is not installed; Debian's package is wrk")
	}
	rounds := 10
	if n, err := strconv.Atoi(os.Getenv(roundsVar)); err == nil {
		rounds = n
	}
	all := contenders(t)
	for range rounds {
		for _, c := range all {
			c.round(t, wrk)
		}
	}
	fmt.Printf("\nPOST /predict, one row, wrk with 2 threads and 64 connections, medians of %d interleaved rounds\n", rounds)
	fmt.Printf("%-24s %10s %18s %9s %9s %9s %10s\n", "server", "requests/s", "ratio (interval)", "p50 ms", "p99 ms", "RSS MiB", "ready ms")
	for _, c := range all {
		ratio, low, high := ratios(c.rates, all[0].rates)
		fmt.Printf("%-24s %10.0f %5.2f (%.2f–%.2f) %9.2f %9.2f %9.1f %10.0f\n",
			c.name, median(c.rates), ratio, low, high, median(c.p50), median(c.p99), c.process.ResidentMiB(), float64(c.start.Microseconds())/1000)
	}
}

func contenders(t *testing.T) []*contender {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "student", "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte(key))
	require.NoError(t, err)
	var all []*contender
	for _, kind := range []string{"bare", "idiomatic"} {
		address := testenv.FreeAddress(t)
		all = append(all, begin(t, kind, address, token, testenv.Command{Path: self, Env: testenv.Environ(serverVariable + "=" + kind + ":" + address)}))
	}
	petal := installation.New(t)
	petal.Train()
	begun := time.Now()
	api := petal.StartAPI()
	ready := time.Since(begun)
	api.Login(petal.Read("var/initial_password"))
	full := &contender{name: "petal", address: strings.TrimPrefix(api.URL, "http://"), token: api.Token(), process: api.Process, start: ready}
	all = slices.Insert(all, 1, full)

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.py"), []byte(fastAPI), 0o600))
	address := testenv.FreeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	return append(all, begin(t, "fastapi, 2 workers", address, token, testenv.Command{
		Path: testenv.Python(t), Dir: dir, Env: testenv.Environ(),
		Args: []string{"-m", "uvicorn", "app:app", "--port", port, "--workers", "2", "--no-access-log", "--log-level", "warning"},
	}))
}

func begin(t *testing.T, name, address, token string, command testenv.Command) *contender {
	t.Helper()
	begun := time.Now()
	process := testenv.Start(t, command)
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + address + "/ready")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 2*time.Millisecond, name)
	return &contender{name: name, address: address, token: token, process: process, start: time.Since(begun)}
}

var (
	rateOf    = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	latencyOf = regexp.MustCompile(`\s(50|99)%\s+([\d.]+)(us|ms|s)`)
)

func (c *contender) round(t *testing.T, wrk string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "predict.lua")
	require.NoError(t, os.WriteFile(script, []byte("wrk.method = 'POST'\nwrk.body = '"+row+"'\nwrk.headers['Content-Type'] = 'application/json'\n"+
		"wrk.headers['Authorization'] = 'Bearer "+c.token+"'\n"), 0o600))
	output, err := exec.CommandContext(t.Context(), wrk, "-t2", "-c64", "-d2s", "--latency", "-s", script, "http://"+c.address+"/predict").CombinedOutput()
	require.NoError(t, err, string(output))
	require.NotContains(t, string(output), "Non-2xx", c.name)
	require.NotContains(t, string(output), "Socket errors", c.name)
	rate, err := strconv.ParseFloat(rateOf.FindStringSubmatch(string(output))[1], 64)
	require.NoError(t, err)
	c.rates = append(c.rates, rate)
	for _, found := range latencyOf.FindAllStringSubmatch(string(output), -1) {
		v, err := strconv.ParseFloat(found[2], 64)
		require.NoError(t, err)
		v *= map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[found[3]]
		if found[1] == "50" {
			c.p50 = append(c.p50, v)
		} else {
			c.p99 = append(c.p99, v)
		}
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratios compares round by round: the median, and the second smallest and second
// largest, which for ten rounds hold the median with 98 % confidence.
func ratios(rates, base []float64) (middle, low, high float64) {
	each := make([]float64, len(rates))
	for i := range rates {
		each[i] = rates[i] / base[i]
	}
	slices.Sort(each)
	k := min(1, (len(each)-1)/2)
	return median(each), each[k], each[len(each)-1-k]
}
