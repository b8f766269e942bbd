package linear

// A Scaler computes (x − offset)·scale, column by column; a single offset or
// scale holds for all columns.
type Scaler struct{ Offset, Scale []float32 }

// Columns is the number of features, 0 where any number will do.
func (s *Scaler) Columns() int {
	if n := max(len(s.Offset), len(s.Scale)); n > 1 {
		return n
	}
	return 0
}

// Apply scales one row.
func (s *Scaler) Apply(out, row []float32) {
	for j, x := range row {
		offset, scale := s.at(j)
		out[j] = (x - offset) * scale
	}
}

// at returns the offset and the scale of a column.
func (s *Scaler) at(column int) (offset, scale float32) {
	offset, scale = s.Offset[0], s.Scale[0]
	if len(s.Offset) > 1 {
		offset = s.Offset[column]
	}
	if len(s.Scale) > 1 {
		scale = s.Scale[column]
	}
	return offset, scale
}
