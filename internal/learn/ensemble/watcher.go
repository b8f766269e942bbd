package ensemble

import (
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// A watcher follows the loss of rows that are held back.
type watcher struct {
	ensemble *trees.Ensemble
	rows     [][]float32
	loss     func(raw []float64, i int) float64
	raw      [][]float64
	counted  int // trees in raw
	patience int
	tol      float64
	losses   []float64
}

func newWatcher(e *trees.Ensemble, x *mat.Dense, rows []int, loss func(raw []float64, i int) float64, patience int, tol float64) *watcher {
	w := &watcher{ensemble: e, loss: loss, patience: patience, tol: tol}
	for _, i := range rows {
		w.rows = append(w.rows, row32(x.RawRowView(i)))
		w.raw = append(w.raw, slices.Clone(e.Base))
	}
	w.follow() // the loss before the first tree counts
	return w
}

// stop follows the newest trees and reports whether none of the last losses
// improved on the one before them.
func (w *watcher) stop() bool {
	w.follow()
	if len(w.losses) <= w.patience {
		return false
	}
	recent := w.losses[len(w.losses)-w.patience:]
	reference := w.losses[len(w.losses)-w.patience-1] - w.tol
	for _, l := range recent {
		if l < reference {
			return false
		}
	}
	return true
}

// follow adds the mean loss after the newest trees.
func (w *watcher) follow() {
	var loss float64
	for i, row := range w.rows {
		for t := w.counted; t < len(w.ensemble.Trees); t++ {
			tree := w.ensemble.Trees[t]
			w.raw[i][t%w.ensemble.Outputs] += tree.Values[tree.Find(row)]
		}
		loss += w.loss(w.raw[i], i)
	}
	w.counted = len(w.ensemble.Trees)
	w.losses = append(w.losses, loss/float64(len(w.rows)))
}
