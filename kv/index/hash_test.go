package index_test

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"

	"balsa.example/kv/index"

	"github.com/cespare/xxhash/v2"
)

// The primes of XXH64.
const (
	prime1 uint64 = 11400714785074694791
	prime2 uint64 = 14029467366897019727
	prime3 uint64 = 1609587929392839161
	prime4 uint64 = 9650029242287828579
	prime5 uint64 = 2870177450012600261
)

// inverse returns the number whose product with an odd one is 1 modulo 2^64.
func inverse(n uint64) uint64 {
	x := n
	for range 6 {
		x *= 2 - n*x
	}
	return x
}

// keyWithHash returns the i-th of the keys of 16 bytes that have a hash: nothing keeps anybody
// from finding them.
func keyWithHash(hash, i uint64) string {
	h := hash ^ hash>>32
	h *= inverse(prime3)
	h ^= h>>29 ^ h>>58
	h *= inverse(prime2)
	h ^= h >> 33
	mixed := func(lane uint64) uint64 { return bits.RotateLeft64(lane*prime2, 31) * prime1 }
	first := bits.RotateLeft64((prime5+16)^mixed(i), 27)*prime1 + prime4
	second := bits.RotateLeft64((h-prime4)*inverse(prime1), -27) ^ first
	second = bits.RotateLeft64(second*inverse(prime1), -31) * inverse(prime2)
	return string(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, i), second))
}

// TestHashesMadeToCollide: whoever knows the hash function can make keys that collide. They
// must neither be lost nor take up memory or time.
func TestHashesMadeToCollide(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	hashes := map[string]func(i int) uint64{
		"all the same":       func(int) uint64 { return 0x0123456789abcdef },
		"the same first 20":  func(int) uint64 { return 0xf123400000000000 | rng.Uint64()>>20 },
		"the same last bits": func(int) uint64 { return rng.Uint64()&^(1<<48-1) | 0x7777 },
		"pairs":              func(i int) uint64 { return uint64(i/2) * 0x9e3779b97f4a7c15 },
	}
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			p := &pair{index.New(), newModel()}
			var keys []string
			for i := range 5000 {
				h := hash(i)
				keys = append(keys, keyWithHash(h, uint64(i)))
				if xxhash.Sum64String(keys[i]) != h {
					t.Fatalf("the key %x has not the hash %x", keys[i], h)
				}
				p.change(keys[i], false, true)
			}
			p.check(t)
			if each := p.Bytes() / 5000; each > 400 {
				t.Errorf("each key takes %d bytes", each)
			}
			if n := p.Probes(keys); n > 1100 {
				t.Errorf("%d steps to find one key", n)
			}
			for _, key := range keys[:4000] {
				p.change(key, true, true)
			}
			p.purge(t, p.revision+1, 1000)
			p.check(t)
		})
	}
}

// TestTablesSplit looks at an index at each size, in which tables split one after the other.
func TestTablesSplit(t *testing.T) {
	p := &pair{index.New(), newModel()}
	for i := range 20_000 {
		p.change(benchKey(i), false, true)
		if p.Find(benchKey(i)) == 0 || p.Find(benchKey(i/2)) == 0 || p.Find(benchKey(i+1)) != 0 {
			t.Fatalf("a key is lost among %d", i)
		}
		if i%1000 == 0 {
			p.check(t)
		}
	}
}
