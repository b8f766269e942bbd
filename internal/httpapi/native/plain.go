package native

// decodePlain reads {"features":[1,2.5,-3]} and appends the numbers to row. It
// takes only what decodePredict reads as the same numbers, and leaves numbers
// that take care (exponents, more than 15 digits) to it.
func decodePlain(data []byte, row []float64) ([]float64, bool) {
	p := plain{data: data}
	if !p.take('{') || !p.word(`"features"`) || !p.take(':') || !p.take('[') {
		return row, false
	}
	for {
		v, ok := p.number()
		if !ok {
			return row, false
		}
		row = append(row, v)
		if p.take(',') {
			continue
		}
		if !p.take(']') || !p.take('}') {
			return row, false
		}
		p.space()
		return row, p.pos == len(p.data)
	}
}

// plain walks over a body of the plain shape.
type plain struct {
	data []byte
	pos  int
}

func (p *plain) space() {
	for p.pos < len(p.data) && (p.data[p.pos] == ' ' || p.data[p.pos] == '\n' || p.data[p.pos] == '\t' || p.data[p.pos] == '\r') {
		p.pos++
	}
}

func (p *plain) take(c byte) bool {
	p.space()
	if p.pos < len(p.data) && p.data[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *plain) word(w string) bool {
	p.space()
	if len(p.data)-p.pos < len(w) || string(p.data[p.pos:p.pos+len(w)]) != w {
		return false
	}
	p.pos += len(w)
	return true
}

// powersOfTen are exact in a float64.
var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number reads a decimal of 15 digits at most. Both its digits and its power of
// ten are exact in a float64, so that one division rounds correctly (Clinger,
// "How to read floating point numbers accurately", 1990).
func (p *plain) number() (float64, bool) {
	p.space()
	negative := p.pos < len(p.data) && p.data[p.pos] == '-'
	if negative {
		p.pos++
	}
	start := p.pos
	digits, point := uint64(0), -1
scan:
	for ; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; {
		case c >= '0' && c <= '9':
			digits = digits*10 + uint64(c-'0')
		case c == '.' && point < 0 && p.pos > start:
			point = p.pos
		case c == 'e', c == 'E', c == '.':
			return 0, false
		default:
			break scan
		}
		if p.pos-start > 16 {
			return 0, false
		}
	}
	whole, fraction := p.pos-start, 0
	if point >= 0 {
		whole, fraction = point-start, p.pos-point-1
		if fraction == 0 {
			return 0, false
		}
	}
	if whole == 0 || whole > 1 && p.data[start] == '0' || whole+fraction > 15 {
		return 0, false
	}
	v := float64(digits) / powersOfTen[fraction]
	if negative {
		v = -v
	}
	return v, true
}
