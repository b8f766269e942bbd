package training

import "time"

// Progress tells how far a training is.
type Progress struct {
	Step        string // what was just done, or is being done
	Done, Total int    // steps
	// Iteration counts within the step; 0 where the step is done.
	Iteration int
}

// progress counts the steps of one training and tells a person of them.
type progress struct {
	tell        func(Progress)
	done, total int
	told        time.Time // of the last iteration that was told
}

// step tells that another step is done.
func (p *progress) step(what string) {
	p.done++
	p.tell(Progress{Step: what, Done: p.done, Total: p.total})
}

// tellEvery is how often a person looks.
const tellEvery = 100 * time.Millisecond

// iterate tells how far the step under way is, at most once in tellEvery, so
// that a fit of many short iterations does not wait for a terminal.
func (p *progress) iterate(what string, iteration int) {
	if now := time.Now(); now.Sub(p.told) >= tellEvery {
		p.told = now
		p.tell(Progress{Step: what, Done: p.done, Total: p.total, Iteration: iteration})
	}
}
