package e2e

import (
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
)

var residentMemory = regexp.MustCompile(`(?m)^process_resident_memory_bytes (\S+)$`)

// A login takes 19 MiB for its password's hash. Soon after, the API is as small
// as before.
func TestLoginsLeaveNoMemory(t *testing.T) {
	t.Parallel()
	const limit = 40 << 20
	petal := installation.New(t)
	petal.Train()
	api := petal.StartAPI()
	password := petal.Read("var/initial_password")
	resident := func() float64 {
		found := residentMemory.FindSubmatch(api.Do(http.MethodGet, "/metrics", "", "", "").Body)
		require.NotNil(t, found, "this system does not tell a process's memory")
		bytes, err := strconv.ParseFloat(string(found[1]), 64)
		require.NoError(t, err)
		return bytes
	}
	highest := 0.0
	for range 5 {
		api.Login(password)
		highest = max(highest, resident())
	}
	var lowest float64
	require.Eventually(t, func() bool { lowest = resident(); return lowest < limit }, 15*time.Second, 200*time.Millisecond)
	t.Logf("%.1f MiB resident during logins, %.1f MiB after them", highest/(1<<20), lowest/(1<<20))
}
