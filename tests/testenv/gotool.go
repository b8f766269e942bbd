package testenv

import (
	"testing"

	"github.com/petal-ml/petal/tests/testenv/gotool"
)

// GoTool returns the path of a pinned Go program such as "prometheus", which it
// builds where it does not stand yet: some minutes the first time.
func GoTool(t testing.TB, name string) string {
	t.Helper()
	tool, err := gotool.Ensure(t.Context(), Root(t), name)
	if err != nil {
		Missing(t, "%v", err)
	}
	return tool
}
