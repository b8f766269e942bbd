package preprocessing

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
)

func encoded(e *ColumnEncoder, row ...float64) []float64 {
	dst := make([]float64, e.Width())
	e.TransformRow(dst, row)
	return dst
}

// An encoder knows the categories of the rows that it was fitted on, and no other:
// one that only later rows have is "other".
func TestColumnEncoder(t *testing.T) {
	nan := math.NaN()
	columns := []Column{{Name: "city", Categories: []string{"Aix", "Lyon", "Nice", "Pau"}}, {Name: "age"}, {Name: "member", Categories: []string{"no", "yes"}, Boolean: true}}
	x := mat.NewDense(4, 3, []float64{
		1, 40, 0,
		3, nan, 1,
		1, 20, nan,
		3, 30, 1,
	})
	codes := &ColumnEncoder{Columns: columns}
	require.NoError(t, codes.Fit(t.Context(), learn.Rows{X: x}))
	assert.Equal(t, []int{0, 2}, codes.Categorical())
	assert.Equal(t, []string{"Lyon", "Pau"}, codes.Categories(0))
	assert.Equal(t, []float64{0, 40, 0}, encoded(codes, 1, 40, 0))
	assert.Equal(t, []float64{1, 7, 1}, encoded(codes, 3, 7, 1))
	assert.Equal(t, []float64{2, 7, 1}, encoded(codes, 0, 7, 1), "unseen")
	assert.Equal(t, fmt.Sprint([]float64{nan, nan, nan}), fmt.Sprint(encoded(codes, nan, nan, nan)))

	imputed := &ColumnEncoder{Columns: columns, Impute: true}
	require.NoError(t, imputed.Fit(t.Context(), learn.Rows{X: x}))
	assert.Equal(t, []float64{3, 30, 3}, encoded(imputed, nan, nan, nan), "a code of its own, and the median")

	oneHot := &ColumnEncoder{Columns: columns, Impute: true, OneHot: true}
	require.NoError(t, oneHot.Fit(t.Context(), learn.Rows{X: x}))
	require.Equal(t, 6, oneHot.Width(), "age; Lyon, Pau; no, yes, missing")
	assert.Equal(t, []float64{40, 1, 0, 1, 0, 0}, encoded(oneHot, 1, 40, 0))
	assert.Equal(t, []float64{30, 0, 0, 0, 0, 1}, encoded(oneHot, 2, nan, nan), "unseen")

	n, p := learn.Rows{X: x, Through: []learn.Transformer{oneHot}}.Dims()
	assert.Equal(t, []int{4, 6}, []int{n, p})
}

// More categories than a column may have: the rest are one.
func TestColumnEncoderGathersRareCategories(t *testing.T) {
	const many = MaxCodes + 50
	c := Column{Name: "c"}
	var values []float64
	for k := range many {
		c.Categories = append(c.Categories, fmt.Sprintf("%04d", k))
		for range 1 + k%2 {
			values = append(values, float64(k))
		}
	}
	x := mat.NewDense(len(values), 1, values)
	codes := &ColumnEncoder{Columns: []Column{c}}
	require.NoError(t, codes.Fit(t.Context(), learn.Rows{X: x}))
	assert.Len(t, codes.Categories(0), MaxCodes)
	assert.Equal(t, []float64{MaxCodes}, encoded(codes, many-2), "one row, and late in the alphabet")
	assert.Less(t, encoded(codes, many-1)[0], float64(MaxCodes))
	oneHot := &ColumnEncoder{Columns: []Column{c}, OneHot: true}
	require.NoError(t, oneHot.Fit(t.Context(), learn.Rows{X: x}))
	assert.Equal(t, MaxOneHot+1, oneHot.Width())
	assert.Equal(t, 1.0, encoded(oneHot, many-2)[MaxOneHot])
}
