package training

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
)

// requireFault checks that err is of want's type and about the same place.
func requireFault(t *testing.T, want, err error) {
	t.Helper()
	require.True(t, IsInput(err), "%v", err)
	switch want := want.(type) { //nolint:errorlint // it is the test's own
	case *InputError:
		var got *InputError
		require.ErrorAs(t, err, &got)
		require.Equal(t, want.Where, got.Where)
	case *dataset.Error:
		var got *dataset.Error
		require.ErrorAs(t, err, &got)
		require.Equal(t, [...]any{want.File, want.Line, want.Column}, [...]any{got.File, got.Line, got.Column})
	case *dvc.Error:
		var got *dvc.Error
		require.ErrorAs(t, err, &got)
		require.Equal(t, want.File, got.File)
		require.ErrorIs(t, err, want.Kind)
	default:
		require.Fail(t, "no fault of the input", "%T", want)
	}
}

// within is a fault of a file in the directory of the test.
func (b *bench) within(fault error) error {
	switch e := fault.(type) { //nolint:errorlint // it is the test's own
	case *dataset.Error:
		e.File = filepath.Join(b.dir, e.File)
	case *dvc.Error:
		e.File = b.dir
	case *InputError:
		if strings.HasSuffix(e.Where, ".csv") {
			e.Where = filepath.Join(b.dir, e.Where)
		}
	}
	return fault
}

// without is err with the names of a temporary directory's files only.
func without(dir string, err error) error {
	return errors.New(strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+"/", ""), dir, "DIR"))
}
