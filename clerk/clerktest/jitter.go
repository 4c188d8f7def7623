package clerktest

import (
	"hash/fnv"
	"math/rand/v2"
)

// newJitter returns a PRNG that depends on the name only.
func newJitter(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(h.Sum64(), 0))
}
