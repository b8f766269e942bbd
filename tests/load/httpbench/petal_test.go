//go:build bench

package httpbench

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/load/generator"
	"github.com/petal-ml/petal/tests/load/rounds"
	"github.com/petal-ml/petal/tests/testenv"
)

const (
	batchRows   = 1000
	goalBinary  = 1e6 // rows a second
	goalJSON    = 250e3
	goalFirst   = 50 // milliseconds
	concurrency = 4  // batches under way
)

// Batches of 1,000 rows, as binary tensors and as JSON, with the load generator
// beside the server.
func TestBatches(t *testing.T) {
	petal := installation.New(t)
	petal.Train()
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	servers := generator.Watch(t.Context(), strings.TrimPrefix(api.URL, "http://"))
	forms := []struct {
		name  string
		load  generator.Load
		goal  float64
		rates rounds.Sample
	}{
		{name: "binary tensors, FP32", goal: goalBinary, load: generator.Load{Request: binaryBatch(api.Token()), Want: []byte(`"model_name":"iris"`)}},
		{name: "JSON, instances", goal: goalJSON, load: generator.Load{Request: jsonBatch(api.Token()), Want: []byte(`"label":"virginica"`)}},
	}
	var turns []func() error
	for i := range forms {
		f := &forms[i]
		turns = append(turns, func() error {
			f.load.Servers, f.load.Connections, f.load.Duration = servers, concurrency, 2*time.Second
			report := f.load.Run(t.Context())
			f.rates = append(f.rates, report.OKRate()*batchRows)
			if report.Lost() > 0 {
				return fmt.Errorf("%s: %v", f.name, report)
			}
			return nil
		})
	}
	require.NoError(t, rounds.Interleave(numRounds(), turns...))
	fmt.Printf("\nbatches of %d rows, %d at a time, medians of %d interleaved rounds\n", batchRows, concurrency, numRounds())
	for _, f := range forms {
		low, high := f.rates.Interval()
		fmt.Printf("%-24s %10.0f rows/s (%.0f–%.0f), goal %.0f%s\n", f.name, f.rates.Median(), low, high, f.goal, missed(f.rates.Median() < f.goal))
	}
	fmt.Printf("%.1f MB resident\n", api.Process.ResidentMiB()*(1<<20)/1e6)
}

// From the start of the program to its first prediction, with the last good
// model on the disk.
func TestFirstPrediction(t *testing.T) {
	petal := installation.New(t)
	petal.Train()
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	api.Process.Stop(time.Minute)
	var took rounds.Sample
	for range numRounds() {
		address := testenv.FreeAddress(t)
		begun := time.Now()
		process := testenv.Start(t, testenv.Command{Path: petal.Programs.API, Args: []string{"serve"}, Dir: petal.Dir, Env: append(petal.Env, "API_ADDRESS="+address)})
		next := installation.Attach(t, "http://"+address, process)
		for {
			answer, err := next.Try(http.MethodPost, "/predict", "application/json", row, api.Token())
			if err == nil && answer.Status == http.StatusOK {
				break
			}
			require.Less(t, time.Since(begun), time.Minute)
			time.Sleep(500 * time.Microsecond)
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1000)
		process.Stop(time.Minute)
	}
	low, high := took.Interval()
	fmt.Printf("\nfirst prediction %.1f ms (%.1f–%.1f) after the start, median of %d; goal %d%s\n", took.Median(), low, high, numRounds(), goalFirst, missed(took.Median() > goalFirst))
}

// rows are as different as those of the data.
func rows() [][4]float64 {
	all := make([][4]float64, batchRows)
	for i := range all {
		x := float64(i%100) / 100
		all[i] = [4]float64{4.3 + math.Round(36*x)/10, 2 + math.Round(24*(1-x))/10, 1 + math.Round(59*x)/10, .1 + math.Round(24*x)/10}
	}
	return all
}

func jsonBatch(token string) []byte {
	var body strings.Builder
	body.WriteString(`{"instances":[`)
	for i, r := range rows() {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, "[%.1f,%.1f,%.1f,%.1f]", r[0], r[1], r[2], r[3])
	}
	body.WriteString("]}")
	return generator.Request("/predict", []byte(body.String()), "Content-Type: application/json", "Authorization: Bearer "+token)
}

func binaryBatch(token string) []byte {
	var tensor []byte
	for _, r := range rows() {
		for _, v := range r {
			tensor = binary.LittleEndian.AppendUint32(tensor, math.Float32bits(float32(v)))
		}
	}
	head := fmt.Sprintf(`{"inputs":[{"name":"features","datatype":"FP32","shape":[%d,4],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`,
		batchRows, len(tensor))
	return generator.Request("/v2/models/iris/infer", append([]byte(head), tensor...),
		"Content-Type: application/octet-stream", fmt.Sprintf("Inference-Header-Content-Length: %d", len(head)), "Authorization: Bearer "+token)
}
