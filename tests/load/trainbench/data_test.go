//go:build bench

package trainbench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

func load(t *testing.T, dir string) (*mat.Dense, []int) {
	t.Helper()
	x, y, err := read(dir)
	require.NoError(t, err)
	return x, y
}

// read reads what peer.py wrote.
func read(dir string) (*mat.Dense, []int, error) {
	values := make([]float64, rows*features)
	err := words(filepath.Join(dir, "x.bin"), len(values), func(i int, word uint64) { values[i] = math.Float64frombits(word) })
	if err != nil {
		return nil, nil, err
	}
	y := make([]int, rows)
	err = words(filepath.Join(dir, "y.bin"), len(y), func(i int, word uint64) { y[i] = int(word) })
	return mat.NewDense(rows, features, values), y, err
}

func words(path string, n int, set func(i int, word uint64)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 1<<16)
	var word [8]byte
	for i := range n {
		if _, err := io.ReadFull(in, word[:]); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		set(i, binary.LittleEndian.Uint64(word[:]))
	}
	return nil
}
