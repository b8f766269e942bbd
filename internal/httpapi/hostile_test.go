package httpapi_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a request claims to bring is not believed: nothing of that size is made.
func TestSizesThatLie(t *testing.T) {
	f := newFixture(t)
	tensor := func(name string, rows, width, size int) string {
		shape := fmt.Sprintf("[%d,%d]", rows, width)
		return fmt.Sprintf(`{"name":%q,"shape":%s,"datatype":"INT8","parameters":{"binary_data_size":%d}}`, name, shape, size)
	}
	for name, inputs := range map[string]string{
		"one tensor":     tensor("features", 500_000_000, 4, 2_000_000_000),
		"one feature":    tensor("petal_width", 2_000_000_000, 1, 2_000_000_000),
		"two features":   tensor("petal_width", 4, 1, 4) + "," + tensor("petal_length", 2_000_000_000, 1, 2_000_000_000),
		"an output each": tensor("features", 1, 4, 4) + `],"outputs":[{"name":"label"}` + strings.Repeat(`,{"name":"label"}`, 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			head := `{"inputs":[` + inputs + `]}`
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a := f.do(t, http.MethodPost, "/v2/models/iris/infer", head+"abcd",
				"Authorization", "Bearer "+f.token, "Inference-Header-Content-Length", strconv.Itoa(len(head)))
			runtime.ReadMemStats(&after)
			require.Equal(t, 400, a.status, a.body)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "bytes made")
		})
	}
}
