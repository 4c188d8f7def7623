package sim

import "slices"

// Shrink makes a failing run smaller: it leaves out kinds of faults and single injections
// as long as the same invariant is violated, in at most so many runs. What is left out
// changes all that is drawn later, so the smaller run may fail because of another bug.
// progress, if not nil, is called for each smaller run that fails.
func Shrink(opt Options, runs int, progress func(Result)) (Options, Result) {
	s := shrinker{opt: opt, runs: runs, progress: progress}
	s.best = Run(opt)
	if s.best.Violation == nil {
		return opt, s.best
	}
	for _, f := range s.best.Mix.Faults {
		smaller := s.opt
		smaller.Without = append(slices.Clone(s.opt.Without), f)
		s.try(smaller)
	}
	if s.opt.Keep == nil {
		s.opt.Keep = []int{}
		for i, injection := range s.best.Injections {
			if injection.At <= s.best.Violation.At && !slices.Contains(s.opt.Without, injection.Fault) {
				s.opt.Keep = append(s.opt.Keep, i)
			}
		}
	}
	for size := len(s.opt.Keep); size > 0; size = (size + 1) / 2 {
		s.leaveOut(size)
		if size == 1 {
			break
		}
	}
	return s.opt, s.best
}

type shrinker struct {
	opt      Options
	best     Result
	runs     int
	progress func(Result)
}

// try takes a smaller run if it violates the same invariant.
func (s *shrinker) try(smaller Options) bool {
	if s.runs <= 0 {
		return false
	}
	s.runs--
	r := Run(smaller)
	if r.Violation == nil || r.Violation.Invariant != s.best.Violation.Invariant {
		return false
	}
	s.opt, s.best = smaller, r
	if s.progress != nil {
		s.progress(r)
	}
	return true
}

// leaveOut tries to do without each group of so many injections.
func (s *shrinker) leaveOut(size int) {
	for from := 0; from < len(s.opt.Keep); {
		to := min(from+size, len(s.opt.Keep))
		smaller := s.opt
		smaller.Keep = append(append([]int{}, s.opt.Keep[:from]...), s.opt.Keep[to:]...)
		if !s.try(smaller) {
			from = to
		}
	}
}
