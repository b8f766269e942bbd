package account

// ErrHash is for tests that ask for the kind of an error.
var ErrHash = errHash

// HashCheaply makes a service hash at a hundredth of the usual costs, for tests
// of everything but these costs.
func HashCheaply(s *Service) {
	s.hasher.params = argonParams{memory: 64, time: 1, threads: 1}
	s.hasher.dummy = encodePHC(s.hasher.params, make([]byte, saltBytes), make([]byte, hashBytes))
}

// HoldHash takes one of the slots for hashing until release is called.
func HoldHash(s *Service) (release func()) {
	s.hasher.slots <- struct{}{}
	return s.hasher.release
}
