package directory

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/registrytest"
)

func TestConformance(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) registrytest.Subject {
		s := open(t, t.TempDir())
		return registrytest.Subject{
			Registry: s,
			ReadRun: func(_ context.Context, id string) (registry.Record, registry.Status, error) {
				return s.ReadRun(id)
			},
			Break: func() {
				require.NoError(t, os.WriteFile(filepath.Join(s.Root(), indexFile), []byte(`{"format":1,"models":{`), 0o600))
			},
		}
	})
}

func open(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(Options{Root: root, Experiment: "test"})
	require.NoError(t, err)
	return s
}
