//go:build soak

package soak

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/load/generator"
	"github.com/petal-ml/petal/tests/load/rounds"
)

const (
	password = "tulips by the window 7"
	// connections are as many as a balancer keeps to a server.
	connections = 64
)

// How long the load of [TestSwapsAndRestarts] lasts: PETAL_SOAK, such as "10m".
func duration(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv("PETAL_SOAK"))
	require.NoError(t, err, "PETAL_SOAK is a duration, such as 10m")
	return d
}

func install(t *testing.T) *installation.Installation {
	t.Helper()
	return installation.New(t, "SECRET_KEY=8sKq2nV5xZ7wC4tY9bR1mJ6hG3fD0pLa", "API_PASSWORD="+password)
}

// predictions is a load of single rows.
func predictions(servers *generator.Servers, token string) generator.Load {
	return generator.Load{
		Servers: servers, Connections: connections, Want: []byte(`"label":"setosa"`),
		Request: generator.Request("/predict", []byte(`{"features":[5.1,3.5,1.4,0.2]}`), "Content-Type: application/json", "Authorization: Bearer "+token),
	}
}

// for a time, at a rate; 0 is as much as comes back.
func run(ctx context.Context, l generator.Load, rate float64, d time.Duration) *generator.Report {
	l.Rate, l.Duration = rate, d
	return l.Run(ctx)
}

func address(api *installation.API) string { return strings.TrimPrefix(api.URL, "http://") }

// At 80 % of what two replicas can do, another model is promoted every ten
// seconds and one replica is restarted every thirty. Not one request may be
// lost, and the memory of the other replica stays as it is.
func TestSwapsAndRestarts(t *testing.T) {
	total := duration(t)
	petal := install(t)
	petal.Train()
	petal.Write("params.yaml", strings.Replace(petal.Read("params.yaml"), "random_state: 42", "random_state: 7", 1))
	petal.Train("--force", "--allow-unpromoted")
	stays := petal.With("STATE_DIR=var-1").StartAPI()
	leaves := petal.With("STATE_DIR=var-2").StartAPI()
	stays.Login(password)
	load := predictions(generator.Watch(t.Context(), address(stays), address(leaves)), stays.Token())

	peak := run(t.Context(), load, 0, 5*time.Second)
	require.Zero(t, peak.Lost(), peak)
	t.Logf("capacity, with the load generator beside it: %v", peak)

	done := make(chan *generator.Report)
	go func() { done <- run(t.Context(), load, .8*peak.OKRate(), total) }()
	step := min(10*time.Second, total/6)
	var memory rounds.Sample
	versions := map[string]int{}
	second, next := time.NewTicker(total/200), time.NewTicker(step)
	for steps := 1; ; {
		select {
		case <-second.C:
			memory = append(memory, stays.Process.ResidentMiB())
			versions[stays.Predict(5.1, 3.5, 1.4, 0.2).Model.Version]++
		case <-next.C:
			result := petal.Trainer("promote", strconv.Itoa(1+steps%2))
			require.Zero(t, result.Code, result.Output)
			if steps++; steps%3 == 0 {
				result := leaves.Process.Terminate(30 * time.Second)
				require.Zero(t, result.Code, result.Output)
				leaves = petal.With("STATE_DIR=var-2").StartAPIAt(address(leaves))
			}
		case report := <-done:
			window := len(memory) / 10
			early, late := memory[window:2*window].Median(), memory[len(memory)-window:].Median()
			t.Logf("%v at 80 %%: %v", total, report)
			t.Logf("%d promotions, model versions seen: %v; resident memory %.1f MiB in the second tenth of the time, %.1f MiB in the last", steps-1, versions, early, late)
			assert.Zero(t, report.Lost(), "requests were lost: %v", report.Failure)
			assert.Len(t, versions, 2, "models are swapped")
			assert.LessOrEqual(t, late, 1.1*early, "memory grows")
			return
		}
	}
}
