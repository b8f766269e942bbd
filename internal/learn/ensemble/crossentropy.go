package ensemble

import (
	"math"

	"github.com/petal-ml/petal/internal/learn/internal/vecmath"
)

// crossEntropy is the log-loss of classes: softmax with an output for each, or a
// single sigmoid where there are two.
type crossEntropy struct {
	y       []int
	classes int
	proba   [][]float64 // by output, by row: probabilities
}

func newCrossEntropy(y []int, classes int) *crossEntropy {
	c := &crossEntropy{y: y, classes: classes, proba: make([][]float64, classes)}
	if classes == 2 {
		c.proba = c.proba[:1]
	}
	for k := range c.proba {
		c.proba[k] = make([]float64, len(y))
	}
	return c
}

// baseline returns the raw scores that give every row the classes' shares.
func (c *crossEntropy) baseline() []float64 {
	const eps = 0x1p-52
	logs := make([]float64, c.classes)
	for _, k := range c.y {
		logs[k]++
	}
	var mean float64
	for k := range logs {
		logs[k] = math.Log(min(max(logs[k]/float64(len(c.y)), eps), 1-eps))
		mean += logs[k] / float64(c.classes)
	}
	if c.classes == 2 {
		return []float64{logs[1] - logs[0]}
	}
	for k := range logs {
		logs[k] -= mean
	}
	return logs
}

func (c *crossEntropy) update(raw [][]float64, from, to int) (loss float64) {
	if len(raw) == 1 {
		return c.sigmoid(raw[0], from, to)
	}
	for ; from < to; from += softmaxRows {
		loss += c.softmax(raw, from, min(from+softmaxRows, to))
	}
	return loss
}

// softmaxRows keeps the rows that softmax takes at a time in the cache.
const softmaxRows = 512

func (c *crossEntropy) softmax(raws [][]float64, from, to int) (loss float64) {
	var tops, totals [softmaxRows]float64
	top, total := tops[:to-from], totals[:to-from]
	copy(top, raws[0][from:to])
	for _, raw := range raws[1:] {
		for i, v := range raw[from:to] {
			top[i] = max(top[i], v)
		}
	}
	for k, raw := range raws {
		proba := c.proba[k][from:to]
		for i, v := range raw[from:to] {
			proba[i] = v - top[i]
		}
		vecmath.Exp(proba)
		for i, e := range proba {
			total[i] += e
		}
	}
	for i := range total {
		k := c.y[from+i]
		loss += math.Log(total[i]) - (raws[k][from+i] - top[i])
		total[i] = 1 / total[i]
	}
	for k := range c.proba {
		proba := c.proba[k][from:to]
		for i := range proba {
			proba[i] *= total[i]
		}
	}
	return loss
}

func (c *crossEntropy) sigmoid(raws []float64, from, to int) (loss float64) {
	proba, raw := c.proba[0][from:to], raws[from:to]
	for i, v := range raw {
		proba[i] = -math.Abs(v)
	}
	vecmath.Exp(proba)
	for i, e := range proba {
		loss += math.Log1p(e) + max(raw[i], 0) - float64(raw[i]*float64(c.y[from+i]))
		if raw[i] < 0 {
			proba[i] = e / (1 + e)
		} else {
			proba[i] = 1 / (1 + e)
		}
	}
	return loss
}

// largest: the gradient is p − [y = k], the hessian p·(1 − p).
func (c *crossEntropy) largest(output, from, to int) (gradient, hessian float64) {
	class, proba := c.class(output), c.proba[output]
	for i := from; i < to; i++ {
		p := proba[i]
		hessian = max(hessian, float64(p*(1-p)))
		if c.y[i] == class {
			p--
		}
		gradient = max(gradient, math.Abs(p))
	}
	return gradient, hessian
}

func (c *crossEntropy) fill(output, from, to int, f *fixedPoint, pairs []uint64) {
	class, proba := c.class(output), c.proba[output]
	for i := from; i < to; i++ {
		p := proba[i]
		h := float64(p * (1 - p))
		if c.y[i] == class {
			p--
		}
		pairs[i] = f.pair(p, h)
	}
}

// class is the one that an output is the score of.
func (c *crossEntropy) class(output int) int {
	if c.classes == 2 {
		return 1
	}
	return output
}

func (*crossEntropy) leaf([]float64, []uint32) (value float64, ok bool) { return 0, false }
