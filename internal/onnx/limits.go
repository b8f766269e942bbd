package onnx

// Limits bound what a model may ask for, when it is read and when it runs. A
// zero field means the default.
type Limits struct {
	// Bytes is the largest file. Default: 512 MiB.
	Bytes int64
	// Memory is the most that a decoded model may take, in bytes, and the most
	// that the values of one run may take beside the inputs. Default: 1 GiB.
	Memory int64
	// Nodes is the largest number of nodes, subgraphs included. Default: 100,000.
	Nodes int
	// Depth is how deep subgraphs and types may nest. Default: 8.
	Depth int
}

// WithDefaults fills the zero fields.
func (l Limits) WithDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 512 << 20
	}
	if l.Memory <= 0 {
		l.Memory = 1 << 30
	}
	if l.Nodes <= 0 {
		l.Nodes = 100_000
	}
	if l.Depth <= 0 {
		l.Depth = 8
	}
	return l
}
