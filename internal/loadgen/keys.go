package loadgen

import (
	"math/rand/v2"
	"strconv"
	"sync/atomic"
)

// keyPrefix begins every key, so that they are easily found and removed.
const keyPrefix = "bench/"

// zipfExponent gives the first of 10,000 keys about a seventh of all operations.
const zipfExponent = 1.1

func minKeySize(keys int) int { return len(keyPrefix) + len(strconv.Itoa(keys-1)) }

// Key returns the name of key i: the prefix bench/ and i in decimal, with zeros in
// front to make it size bytes long.
func Key(i, size int) string {
	b := make([]byte, size)
	copy(b, keyPrefix)
	for at := size - 1; at >= len(keyPrefix); at-- {
		b[at] = byte('0' + i%10)
		i /= 10
	}
	return string(b)
}

// chooser draws keys and operations for one caller.
type chooser struct {
	load *Load
	keys int // to choose from
	rand *rand.Rand
	zipf *rand.Zipf
	next *atomic.Int64 // of Sequential, shared by all callers
}

func newChooser(load *Load, caller int, next *atomic.Int64) chooser {
	c := chooser{load: load, keys: load.Keys, rand: rand.New(rand.NewPCG(load.Seed, uint64(caller))), next: next}
	if load.Operation == Range {
		c.keys -= load.RangeKeys - 1 // from a later one there are too few to the end
	}
	if load.Distribution == Zipf {
		c.zipf = rand.NewZipf(c.rand, zipfExponent, 1, uint64(c.keys-1))
	}
	return c
}

func (c *chooser) kind() kind {
	if c.load.Operation == "" && c.rand.Float64() < c.load.Reads {
		return get
	}
	return operations[c.load.Operation]
}

// key returns the number of a key, or of the first one of a range.
func (c *chooser) key() int {
	switch c.load.Distribution {
	case Zipf:
		return int(c.zipf.Uint64())
	case Sequential:
		return int((c.next.Add(1) - 1) % int64(c.keys))
	default:
		return c.rand.IntN(c.keys)
	}
}

// value returns n bytes that do not compress.
func value(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
