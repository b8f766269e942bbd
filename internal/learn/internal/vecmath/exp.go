// Package vecmath holds the elementary functions of the training kernels. They
// are written out in plain Go, every product rounded before it is added, so that
// they give the same bits on every architecture, which math.Exp does not.
package vecmath

import "math"

const (
	expSteps   = 64
	expInverse = 0x1.71547652b82fep+6  // expSteps / ln 2
	expHigh    = 0x1.62e4200000000p-7  // ln 2 / expSteps, upper bits: k·expHigh is exact
	expLow     = 0x1.fdf473de6af28p-28 // the rest of it
	expRound   = 0x1.8p52              // adding it rounds to an integer in the low bits
	expFloor   = -708                  // e to anything less is taken as zero
)

// Exp replaces each x of v, at most 709, by eˣ with an error below one unit in
// the last place. Results under 1e-307 become zero; NaN stays NaN.
//
// The method is Tang's (ACM TOMS 15, 1989): x = k·ln2/64 + r, eˣ =
// 2^(k/64)·eʳ, the first factor from a table, the second from its series.
func Exp(v []float64) {
	for i, x := range v {
		if x < expFloor {
			v[i] = 0
			continue
		}
		rounded := float64(x*expInverse) + expRound
		k := int64(math.Float64bits(rounded)) << 12 >> 12 // the low bits hold a signed integer
		rounded -= expRound
		r := x - float64(rounded*expHigh) - float64(rounded*expLow)
		r2 := float64(r * r)
		series := r + float64(r2*(0.5+float64(r*(1.0/6+float64(r*(1.0/24+float64(r*(1.0/120))))))))
		scale := math.Float64frombits(math.Float64bits(expTable[k&(expSteps-1)]) + uint64(k>>6)<<52)
		v[i] = scale + float64(scale*series)
	}
}

// expTable holds 2^(j/64).
var expTable = [expSteps]float64{
	0x1p+0, 0x1.02c9a3e778061p+0, 0x1.059b0d3158574p+0, 0x1.0874518759bc8p+0,
	0x1.0b5586cf9890fp+0, 0x1.0e3ec32d3d1a2p+0, 0x1.11301d0125b51p+0, 0x1.1429aaea92de0p+0,
	0x1.172b83c7d517bp+0, 0x1.1a35beb6fcb75p+0, 0x1.1d4873168b9aap+0, 0x1.2063b88628cd6p+0,
	0x1.2387a6e756238p+0, 0x1.26b4565e27cddp+0, 0x1.29e9df51fdee1p+0, 0x1.2d285a6e4030bp+0,
	0x1.306fe0a31b715p+0, 0x1.33c08b26416ffp+0, 0x1.371a7373aa9cbp+0, 0x1.3a7db34e59ff7p+0,
	0x1.3dea64c123422p+0, 0x1.4160a21f72e2ap+0, 0x1.44e086061892dp+0, 0x1.486a2b5c13cd0p+0,
	0x1.4bfdad5362a27p+0, 0x1.4f9b2769d2ca7p+0, 0x1.5342b569d4f82p+0, 0x1.56f4736b527dap+0,
	0x1.5ab07dd485429p+0, 0x1.5e76f15ad2148p+0, 0x1.6247eb03a5585p+0, 0x1.6623882552225p+0,
	0x1.6a09e667f3bcdp+0, 0x1.6dfb23c651a2fp+0, 0x1.71f75e8ec5f74p+0, 0x1.75feb564267c9p+0,
	0x1.7a11473eb0187p+0, 0x1.7e2f336cf4e62p+0, 0x1.82589994cce13p+0, 0x1.868d99b4492edp+0,
	0x1.8ace5422aa0dbp+0, 0x1.8f1ae99157736p+0, 0x1.93737b0cdc5e5p+0, 0x1.97d829fde4e50p+0,
	0x1.9c49182a3f090p+0, 0x1.a0c667b5de565p+0, 0x1.a5503b23e255dp+0, 0x1.a9e6b5579fdbfp+0,
	0x1.ae89f995ad3adp+0, 0x1.b33a2b84f15fbp+0, 0x1.b7f76f2fb5e47p+0, 0x1.bcc1e904bc1d2p+0,
	0x1.c199bdd85529cp+0, 0x1.c67f12e57d14bp+0, 0x1.cb720dcef9069p+0, 0x1.d072d4a07897cp+0,
	0x1.d5818dcfba487p+0, 0x1.da9e603db3285p+0, 0x1.dfc97337b9b5fp+0, 0x1.e502ee78b3ff6p+0,
	0x1.ea4afa2a490dap+0, 0x1.efa1bee615a27p+0, 0x1.f50765b6e4540p+0, 0x1.fa7c1819e90d8p+0,
}
