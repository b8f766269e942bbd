package dataset

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
)

// Decimal exponents that scanFloat converts by itself.
const (
	minExponent = -64
	maxExponent = 64
	// maxDigits is how many decimal digits always fit 64 bits.
	maxDigits = 19
	// scanAhead is how far scanFloat may look beyond the end of a number.
	scanAhead = 32
)

// exactPowers are the powers of ten that a float64 holds exactly.
var exactPowers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// integerPowers has room for any index of four bits.
var integerPowers = [16]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// A power is 10^e to 128 bits, cut off: hi·2^64+lo ≤ 10^e·2^−shift < that + 1.
type power struct {
	hi, lo uint64 // the top bit of hi is set
	shift  int
}

var powers = func() (table [maxExponent - minExponent + 1]power) {
	for e := minExponent; e <= maxExponent; e++ {
		// As a fraction: 10^e = numerator / denominator.
		numerator, denominator := big.NewInt(1), big.NewInt(1)
		ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(e, -e))), nil)
		if e < 0 {
			denominator = ten
		} else {
			numerator = ten
		}
		shift := numerator.BitLen() - denominator.BitLen() - 128
		quotient := scaled(numerator, denominator, shift)
		if quotient.BitLen() > 128 {
			shift++
			quotient = scaled(numerator, denominator, shift)
		}
		table[e-minExponent] = power{
			hi:    new(big.Int).Rsh(quotient, 64).Uint64(),
			lo:    new(big.Int).And(quotient, new(big.Int).SetUint64(math.MaxUint64)).Uint64(),
			shift: shift,
		}
	}
	return table
}()

// scaled is numerator / denominator · 2^−shift, cut off.
func scaled(numerator, denominator *big.Int, shift int) *big.Int {
	if shift < 0 {
		numerator = new(big.Int).Lsh(numerator, uint(-shift))
	} else {
		denominator = new(big.Int).Lsh(denominator, uint(shift))
	}
	return new(big.Int).Quo(numerator, denominator)
}

// scanFloat reads the number that begins at b[i] and returns the index after it.
// What it accepts (sign, digits, point, exponent) has the value that
// [strconv.ParseFloat] gives, to the bit; whatever is longer, larger or spelled
// differently it leaves to that one: ok is false. At least scanAhead bytes
// follow the number in b.
func scanFloat(b []byte, i int) (v float64, end int, ok bool) {
	// No branch on the sign: in many columns it is a coin that is thrown.
	var negative uint64
	if b[i] == '-' {
		negative = 1
	}
	i += int(negative)
	if b[i] == '+' && negative == 0 {
		i++
	}

	var mantissa uint64
	digits, exponent := 0, 0
	if first := b[i] - '0'; first <= 9 && b[i+1] == '.' { // as most numbers are written
		mantissa = uint64(first)
		i++
		if first > 0 {
			digits = 1 // the 0 of 0.25 takes no room
		}
	} else {
		start := i
		if mantissa, i = scanDigits(b, i, 0); i == start {
			// .5 is a number, and . is none: ParseFloat knows.
			return 0, i, false
		}
		digits = i - start
	}
	if b[i] == '.' {
		point := i + 1
		mantissa, i = scanDigits(b, point, mantissa)
		exponent = point - i
		digits -= exponent
	}
	if digits > maxDigits {
		return 0, i, false
	}
	if b[i]|0x20 == 'e' {
		var e int
		if e, i, ok = scanExponent(b, i+1); !ok {
			return 0, i, false
		}
		exponent += e
	}
	v, ok = decimal(mantissa, exponent)
	return math.Float64frombits(math.Float64bits(v) | negative<<63), i, ok
}

// scanDigits appends the digits at b[i], up to 24, to a mantissa, which is
// nonsense where it has more than maxDigits then.
func scanDigits(b []byte, i int, mantissa uint64) (uint64, int) {
	for range scanAhead/8 - 1 {
		chars := binary.LittleEndian.Uint64(b[i:])
		if n := leadingDigits(chars); n < 8 {
			// Zeros take the place of what does not belong to the number.
			return mantissa*integerPowers[n&15] + eightDigits(chars&0x0f0f0f0f0f0f0f0f<<(64-8*n)), i + int(n)
		}
		mantissa = mantissa*1e8 + eightDigits(chars&0x0f0f0f0f0f0f0f0f)
		i += 8
	}
	return mantissa, i
}

// leadingDigits counts the decimal digits that eight characters begin with, the
// first one in the lowest byte.
func leadingDigits(chars uint64) uint {
	const each = 0x0101010101010101
	digits := chars ^ '0'*each // a digit becomes its value, all else more than 9
	// The lowest byte with its top bit set is the first that is no digit; a
	// carry reaches only bytes above it.
	other := ((digits + (0x80-10)*each) | digits) & (0x80 * each)
	return uint(bits.TrailingZeros64(other)) >> 3
}

// eightDigits is the number of eight digits' values, the first one in the lowest
// byte: neighbours are joined to numbers of two, four and eight digits.
func eightDigits(digits uint64) uint64 {
	const pairs = 0x000000FF000000FF
	digits = digits*10 + digits>>8
	return (digits&pairs*(100+1000000<<32) + digits>>16&pairs*(1+10000<<32)) >> 32
}

// scanExponent reads what follows the e: a sign and up to three digits.
func scanExponent(b []byte, i int) (e, end int, ok bool) {
	negative := b[i] == '-'
	if negative || b[i] == '+' {
		i++
	}
	value, end := scanDigits(b, i, 0)
	if n := end - i; n == 0 || n > 3 {
		return 0, i, false
	}
	e = int(value) // below 1000
	if negative {
		e = -e
	}
	return e, end, true
}

// decimal is the float64 nearest to mantissa·10^exponent, where it can tell.
//
// A mantissa and a power that are exact in float64 have one rounding (Clinger,
// "How to read floating point numbers accurately", 1990). Otherwise the product
// with a power cut off after 128 bits is so near that its rounding is that of the
// true one, but for a few cases in 2^64 (Lemire, "Number parsing at a gigabyte
// per second", 2021).
func decimal(mantissa uint64, exponent int) (v float64, ok bool) {
	if mantissa < 1<<53 {
		switch {
		case mantissa == 0:
			return 0, true
		case 0 <= exponent && exponent < len(exactPowers):
			return float64(mantissa) * exactPowers[exponent], true
		case exponent < 0 && -exponent < len(exactPowers):
			return float64(mantissa) / exactPowers[-exponent], true
		}
	}
	switch {
	case exponent == 0:
		return float64(mantissa), true
	case exponent < minExponent || exponent > maxExponent:
		return 0, false
	}
	p := &powers[exponent-minExponent]
	zeros := bits.LeadingZeros64(mantissa)
	mantissa <<= zeros
	// The upper 128 of the product's 192 bits. Two parts of less than 1 are cut
	// off: the power's end, and the lowest 64 bits.
	hi, lo := bits.Mul64(mantissa, p.hi)
	mid, _ := bits.Mul64(mantissa, p.lo)
	lo, carry := bits.Add64(lo, mid, 0)
	hi += carry
	if lo+2 < 3 { // 2 more may change hi, or this may be a tie
		return 0, false
	}
	// 53 bits of hi are kept. Below them stands no tie, as lo is not 0, so that
	// the next bit tells the direction.
	drop := 10 + hi>>63
	rounded := hi>>(drop&63) + hi>>((drop-1)&63)&1 // &63 spares the compiler a case
	biased := 1023 + 52 + 128 + int(drop) - zeros + p.shift
	// Added, not put together: 2^53 carries into the exponent, as it should.
	return math.Float64frombits(uint64(biased-1)<<52 + rounded), true // exponents are far from both ends
}
