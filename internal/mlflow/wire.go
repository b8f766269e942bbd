package mlflow

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// keyValue is a parameter or a tag. Both are text for MLflow: a value of
// another type makes the server drop it and all that follows, and answer 200.
type keyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// size bounds the bytes on the wire.
func (kv keyValue) size() int { return wireSize(kv.Key, kv.Value) }

func keyValues(tags map[string]string) []keyValue {
	list := make([]keyValue, 0, len(tags))
	for _, key := range sortedKeys(tags) {
		list = append(list, keyValue{key, tags[key]})
	}
	return list
}

func toMap(list []keyValue) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		m[kv.Key] = kv.Value
	}
	return m
}

// number is an int64 that the server may also write as text.
type number int64

// UnmarshalJSON accepts 7, "7" and null.
func (n *number) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "null" || text == "" {
		return nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no integer", text)
	}
	*n = number(v)
	return nil
}

// millis is a time in milliseconds since 1970.
func millis(t time.Time) int64 { return t.UnixMilli() }

// lastMillis is the end of the year 9999: JSON has no later time.
const lastMillis = 253402300799999

// time is the zero time where there is none, or none that can be written.
func (n number) time() time.Time {
	if n <= 0 || n > lastMillis {
		return time.Time{}
	}
	return time.UnixMilli(int64(n)).UTC()
}
