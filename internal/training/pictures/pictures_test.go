package pictures

import (
	"bytes"
	"fmt"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

// A feature that is always the same huge number has a histogram too.
func TestHistogramOfAConstant(t *testing.T) {
	for _, v := range []float64{0, -7, 1e30, -1e38} {
		s := &Subject{Features: []string{"a"}, Classes: []string{"x", "y"}, Training: Rows{X: mat.NewDense(2, 1, []float64{v, v}), Y: []int{0, 1}}}
		_, err := s.histogram(0)
		require.NoError(t, err)
	}
}

func TestConfusionPicture(t *testing.T) {
	for _, classes := range []int{3, 60} {
		counts := make([][]int, classes)
		names := make([]string, classes)
		for i := range counts {
			counts[i] = make([]int, classes)
			counts[i][i] = i
			counts[i][0] += 3
			names[i] = fmt.Sprintf("класс %d with a name that is long", i)
		}
		picture, err := confusion("Hold-out", counts, names)
		require.NoError(t, err)
		again, err := confusion("Hold-out", counts, names)
		require.NoError(t, err)
		require.Equal(t, picture, again, "the same bytes each time")

		img, err := png.Decode(bytes.NewReader(picture))
		require.NoError(t, err)
		size := img.Bounds().Size()
		require.Greater(t, size.X, 400)
		require.Less(t, size.X, 2000)
		seen := map[[3]uint32]bool{}
		for x := 0; x < size.X; x += 3 {
			for y := 0; y < size.Y; y += 3 {
				r, g, b, _ := img.At(x, y).RGBA()
				seen[[3]uint32{r, g, b}] = true
			}
		}
		require.Greater(t, len(seen), 5, "cells are drawn")
	}
}
