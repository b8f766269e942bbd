package compile

import "github.com/petal-ml/petal/internal/onnx"

// A Part says what a node does in the terms of a predictor, which follows the
// graph from the scores back to the input. It is one of the types of this file.
type Part interface{ isPart() }

// A ModelPart scores rows.
type ModelPart struct {
	Scorer  RowModel // nil where rows are not scored one by one
	Columns int      // features of a row
	Labels  onnx.Labels
}

// A RowModel scores one row and returns its class, 0 for a regressor.
type RowModel interface {
	Predict(row, scores []float32) (class int)
}

// A RowPart changes each feature of a row by itself.
type RowPart struct {
	Step    RowStep
	Columns int // features of a row, 0 where any number will do
}

// A RowStep writes a row, changed, into out, which may be the row itself.
type RowStep interface{ Apply(out, row []float32) }

// A ScorePart changes the scores of a row in place.
type ScorePart struct {
	Apply  func(scores []float32)
	Shares bool // brings them to a sum of 1
}

// A CastPart passes values on, with elements of another type or the same.
type CastPart struct{ From, To onnx.ElementType }

// Same says whether the values stay what they are.
func (c CastPart) Same() bool { return c.From == c.To }

// A MapsPart puts scores into maps, from label to score.
type MapsPart struct{ Labels onnx.Labels }

// A ChoicePart takes elements of its first input.
type ChoicePart struct{}

// A LookupPart turns indices of classes into labels, where there are Labels.
type LookupPart struct{ Labels onnx.Labels }

// A SoftmaxPart makes probabilities of scores.
type SoftmaxPart struct{}

func (ModelPart) isPart()   {}
func (SoftmaxPart) isPart() {}
func (RowPart) isPart()     {}
func (ScorePart) isPart()   {}
func (CastPart) isPart()    {}
func (MapsPart) isPart()    {}
func (ChoicePart) isPart()  {}
func (LookupPart) isPart()  {}
