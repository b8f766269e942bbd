package native

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecodePlain(t *testing.T) {
	for _, row := range []struct {
		body string
		want []float64
	}{
		{`{"features":[5.1,3.5,1.4,0.2]}`, []float64{5.1, 3.5, 1.4, 0.2}},
		{" {\t\"features\" : [ -0 , 0.000001,123456789012345 ,1234567.12345678] }\r\n", []float64{math.Copysign(0, -1), 1e-6, 123456789012345, 1234567.12345678}},
		{`{"features":[0.1]}`, []float64{.1}},
	} {
		got, ok := decodePlain([]byte(row.body), nil)
		require.True(t, ok, row.body)
		for i, v := range row.want {
			assert.Equal(t, math.Float64bits(v), math.Float64bits(got[i]), row.body)
		}
	}
	for _, body := range []string{
		``, `{}`, `{"features":[]}`, `{"features":[1,]}`, `{"features":[1}`, `{"features":[01]}`, `{"features":[-]}`, `{"features":[.5]}`,
		`{"features":[5.]}`, `{"features":[1.2.3]}`, `{"features":[1e2]}`, `{"features":[1]}x`, `{"features":[1],"features":[1]}`, `{"features":[null]}`,
		`{"Features":[1]}`, `{"features":[1234567890123456]}`, `{"features":[0.1234567890123456789]}`, `{"features":["1"]}`, "\xef\xbb\xbf" + `{"features":[1]}`,
		`{"features":[--1]}`, `{"features":[+1]}`, `{"features":[1 2]}`, `{"features":[1`, `[1]`,
	} {
		_, ok := decodePlain([]byte(body), nil)
		assert.False(t, ok, body)
	}
}

// What the fast path reads, the strict one reads as the same numbers.
func FuzzDecodePlain(f *testing.F) {
	for _, seed := range []string{
		`{"features":[5.1,3.5,1.4,0.2]}`, ` { "features" : [ -0.0 , 12 ] } `, `{"features":[01]}`, `{"features":[1e2]}`,
		`{"features":[0.30000000000000004]}`, `{"features":[-]}`, `{"features":[5.]}`, `{"features":[1]}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		row, ok := decodePlain(body, nil)
		if !ok {
			return
		}
		req, fault := read(body)
		require.Nil(t, fault, "%q: the fast path takes what the strict one refuses", body)
		require.False(t, req.many)
		require.Len(t, req.rows, 1)
		require.Nil(t, req.rows[0].Names)
		require.Len(t, row, len(req.rows[0].Values))
		for i, v := range req.rows[0].Values {
			require.Equal(t, math.Float64bits(v), math.Float64bits(row[i]), "%q", body)
		}
	})
}

func BenchmarkDecodePlain(b *testing.B) {
	body, row := []byte(`{"features":[5.1,3.5,1.4,0.2]}`), make([]float64, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		row, _ = decodePlain(body, row[:0])
	}
}
