package testenv

import (
	"os/exec"
	"testing"

	"github.com/petal-ml/petal/tests/testenv/nodemodules"
)

// NodeModules returns the folder of the npm packages that a project pins, which
// it installs where they do not stand yet.
func NodeModules(t testing.TB, project string) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			Missing(t, "%s is not installed; Debian's packages are nodejs and npm", program)
		}
	}
	modules, err := nodemodules.Ensure(t.Context(), project)
	if err != nil {
		Missing(t, "%v", err)
	}
	return modules
}
