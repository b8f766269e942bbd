package mlmodel

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A JSONFloat is a metric's value in JSON. NaN and the infinities are text there:
// for the bare words the server stores 0.
type JSONFloat float64

// MarshalJSON spells NaN and the infinities as the server reads them.
func (f JSONFloat) MarshalJSON() ([]byte, error) {
	switch v := float64(f); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

// UnmarshalJSON accepts numbers, numbers as text, and the bare words that
// Python writes. The server gives ±MaxFloat64 for the infinities it was sent.
func (f *JSONFloat) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "null" || text == "" {
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", text)
	}
	*f = JSONFloat(v)
	return nil
}
