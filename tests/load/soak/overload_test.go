//go:build soak

package soak

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/load/generator"
)

const (
	features  = 8
	batchRows = 1000
	// many connections, so that requests come in whether others are answered or
	// not.
	many = 1024
)

// A forest of 500 trees is asked for three times as many batches of 1,000 rows
// as it can do. What it takes on, it answers, and the rest is told to come back.
func TestOverloadByEvaluation(t *testing.T) {
	petal := install(t)
	petal.Write("data.csv", blobs(2000))
	petal.Write("params.yaml", "data: data.csv\nlabel: species\ntest_size: 0.2\nrandom_state: 1\nn_splits: 2\nscoring: neg_log_loss\n"+
		"candidates:\n  - estimator: RandomForestClassifier\n    params: {n_estimators: 500}\n")
	petal.Train()
	api := petal.StartAPI()
	api.Login(password)
	load := generator.Load{
		Servers: generator.Watch(t.Context(), address(api)), Want: []byte(`"model_name":"iris"`), Request: batch(api.Token()),
	}
	peak := 0.0
	for _, load.Connections = range []int{2, 4, 8} {
		report := run(t.Context(), load, 0, 4*time.Second)
		require.Zero(t, report.Lost(), report)
		peak = max(peak, report.OKRate())
	}
	t.Logf("peak: %.1f batches/s, %.0f rows/s, %.0f MiB resident", peak, peak*batchRows, api.Process.ResidentMiB())

	const long = 15 * time.Second
	load.Connections = many
	over := make(chan *generator.Report)
	go func() { over <- run(t.Context(), load, 3*peak, long) }()
	time.Sleep(long)
	memory := api.Process.ResidentMiB()
	settling := run(t.Context(), load, peak/2, 2*time.Second)
	after := run(t.Context(), load, peak/2, 5*time.Second)
	report := <-over
	t.Logf("at 3×: %v; goodput %.2f of the peak, %.0f MiB resident", report, report.OKRate()/peak, memory)
	t.Logf("at half the peak, first 2 s: %v", settling)
	t.Logf("at half the peak, then: %v", after)
	assert.GreaterOrEqual(t, report.OKRate(), .8*peak, "goodput")
	assert.Zero(t, report.Failed, "%v", report.Failure)
	assert.Equal(t, report.Lost(), report.Statuses[503], "what is not answered is turned away")
	assert.Positive(t, report.Statuses[503])
	assert.Zero(t, report.NoRetryAfter)
	assert.Less(t, report.FromSent.Quantile(.99), 5*time.Second)
	assert.Zero(t, after.Lost(), "2 s later all is well again")
	assert.Less(t, memory, 256.0)
}

// Single rows cost as much to turn away as to answer: all are taken, and wait a
// bounded time.
func TestOverloadBySingleRows(t *testing.T) {
	petal := install(t)
	petal.Train()
	api := petal.StartAPI()
	api.Login(password)
	load := predictions(generator.Watch(t.Context(), address(api)), api.Token())
	peak := run(t.Context(), load, 0, 4*time.Second)
	require.Zero(t, peak.Lost(), peak)
	memory := api.Process.ResidentMiB()

	load.Connections = many
	report := run(t.Context(), load, 3*peak.OKRate(), 15*time.Second)
	t.Logf("peak: %v, %.0f MiB resident", peak, memory)
	t.Logf("at 3× over %d connections: %v; %.0f MiB resident", many, report, api.Process.ResidentMiB())
	after := run(t.Context(), load, peak.OKRate()/2, 3*time.Second)
	t.Logf("at half the peak: %v", after)
	assert.Zero(t, report.Lost(), "%v", report.Failure)
	assert.Less(t, report.FromSent.Quantile(.99), time.Second)
	assert.Less(t, api.Process.ResidentMiB(), 128.0)
	assert.Zero(t, after.Lost(), "%v", after.Failure)
}

// blobs is data whose classes overlap, so that trees grow deep.
func blobs(rows int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for j := range features {
		fmt.Fprintf(&b, "x%d,", j)
	}
	b.WriteString("species\n")
	for i := range rows {
		for range features {
			fmt.Fprintf(&b, "%.3f,", random.NormFloat64()+.7*float64(i%3))
		}
		fmt.Fprintf(&b, "kind-%d\n", i%3)
	}
	return b.String()
}

// batch is a request of 1,000 rows as a binary tensor.
func batch(token string) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	var rows []byte
	for range batchRows * features {
		rows = binary.LittleEndian.AppendUint32(rows, math.Float32bits(float32(random.NormFloat64())))
	}
	head := fmt.Sprintf(`{"inputs":[{"name":"features","datatype":"FP32","shape":[%d,%d],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`,
		batchRows, features, len(rows))
	return generator.Request("/v2/models/iris/infer", append([]byte(head), rows...),
		"Content-Type: application/octet-stream", fmt.Sprintf("Inference-Header-Content-Length: %d", len(head)), "Authorization: Bearer "+token)
}
