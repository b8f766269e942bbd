package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// scan gives scanFloat a field as a file has it.
func scan(text string) (v float64, ok bool) {
	b := append([]byte(text), ",123456789012345678901234567890123456789"...)
	v, end, ok := scanFloat(b, 0)
	return v, ok && end == len(text)
}

// requireSame is called a million times: it compares without testify.
func requireSame(t *testing.T, text string) (fast bool) {
	v, ok := scan(text)
	if !ok {
		return false
	}
	if want, err := strconv.ParseFloat(text, 64); err != nil || math.Float64bits(want) != math.Float64bits(v) {
		t.Helper()
		t.Fatalf("%q is %v (%v), not %v", text, want, err, v)
	}
	return true
}

func TestScanFloatIsParseFloat(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "+1", "1.", ".5", "-.5e-3", "00012", "1e5", "1E+5", "0.1", "0.30000000000000004", "5.1",
		"9007199254740993", "9007199254740992.5", "18446744073709551615", "9999999999999999999", "1e22", "1e23",
		"123456789012345678e-20", "1.7976931348623157e60", "2.2250738585072014e-60", "0.00000000000000000001", "12345678", "12345678.12345678",
	} {
		requireSame(t, text)
	}
	for _, text := range []string{"", "-", ".", "-.", "e5", "1e", "1e+", "1e1234", "x", "1_0", "0x10", "1.2.3", "inf", "nan", "--1", "1e400", "12345678901234567890123456789"} {
		_, ok := scan(text)
		require.False(t, ok, text)
	}

	random := rand.New(rand.NewPCG(1, 2))
	const n = 300_000
	fast := 0
	for range n {
		for _, text := range []string{
			strconv.FormatFloat(random.NormFloat64(), 'g', -1, 64),
			strconv.FormatFloat(random.NormFloat64()*math.Pow(10, float64(random.IntN(80)-40)), 'e', random.IntN(19), 64),
			fmt.Sprintf("%de%d", random.Uint64(), random.IntN(140)-70),
		} {
			if requireSame(t, text) {
				fast++
			}
		}
	}
	require.Greater(t, fast, n*3*8/10, "most numbers take the fast way")
}

func FuzzScanFloat(f *testing.F) {
	for _, text := range []string{"0.12345678901234567", "-1e-7", "9007199254740993.5", "+.5E3", "1e309", "00000000000000000000001"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { requireSame(t, text) })
}

func BenchmarkScanFloat(b *testing.B) {
	text := []byte("0.49671415301123271,-0.1382643011711847,1.5230298564080254,                                    ")
	b.SetBytes(58)
	for b.Loop() {
		for i := 0; i < 56; i++ {
			_, i, _ = scanFloat(text, i)
		}
	}
}
