package promotion

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"
)

// RowsFile stands beside a model and holds a hash of each distinct training row,
// so that a later comparison knows which rows the model has seen.
const RowsFile = "training_rows.bin"

// HashRow identifies a row by the values of some columns. Only equality counts,
// and a chance collision only leaves a row out: 64 bits of FNV-1a are enough.
func HashRow(row []float64, columns []int) uint64 {
	hash := fnv.New64a()
	var b [8]byte
	for _, column := range columns {
		v := row[column]
		if v == 0 {
			v = 0 // −0 is 0
		}
		if math.IsNaN(v) {
			v = math.NaN() // one kind of them
		}
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(v))
		_, _ = hash.Write(b[:])
	}
	return hash.Sum64()
}

// EncodeHashes is the content of [RowsFile]: the distinct hashes, sorted, as
// little-endian 64-bit numbers. It sorts its argument.
func EncodeHashes(hashes []uint64) []byte {
	slices.Sort(hashes)
	var out []byte
	for _, h := range slices.Compact(hashes) {
		out = binary.LittleEndian.AppendUint64(out, h)
	}
	return out
}

func decodeHashes(raw []byte) []uint64 {
	hashes := make([]uint64, 0, len(raw)/8)
	for ; len(raw) >= 8; raw = raw[8:] {
		hashes = append(hashes, binary.LittleEndian.Uint64(raw))
	}
	return hashes
}
