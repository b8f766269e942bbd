package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTrace(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for header, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01": id,
		"":                                  "",
		"01-" + id + "-00f067aa0ba902b7-01": "",
		"00-" + id + "-00f067aa0ba902b7-0":  "",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01":    "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":    "",
		"00-" + id[:31] + "\n-00f067aa0ba902b7-01":                   "",
		"00-" + id + "-00f067aa0ba902b7-01-what-a-later-version-has": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Traceparent", header)
		assert.Equal(t, want, traceOf(r), header)
	}
}
