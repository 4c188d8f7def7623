package lease

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
)

// fewKeys is up to how many keys are in a sorted list. Most leases have one key, and a list costs
// 16 bytes for each beside its own. To insert into a long list would move much, so more keys are
// in a tree.
const fewKeys = 64

// keySet is the set of keys that are attached to one lease. Like a page it belongs to the table
// whose generation it has.
type keySet struct {
	generation uint64
	sum        uint64 // of the hashes of all keys
	few        []string
	many       *btree.Set[string] // in place of few, once there were more than fewKeys
}

func keyHash(id int64, key string) uint64 {
	return mix(hashKey, uint64(id), xxhash.Sum64String(key), uint64(len(key)), 0)
}

func (k *keySet) len() int {
	switch {
	case k == nil:
		return 0
	case k.many != nil:
		return k.many.Len()
	}
	return len(k.few)
}

func (k *keySet) has(key string) bool {
	switch {
	case k == nil:
		return false
	case k.many != nil:
		return k.many.Contains(key)
	}
	_, found := slices.BinarySearch(k.few, key)
	return found
}

// insert adds a key that is not there. It keeps a copy of its bytes, because the key may be a
// part of a whole batch of commands.
func (k *keySet) insert(key string) {
	key = strings.Clone(key)
	if k.many == nil && len(k.few) == fewKeys {
		k.many = &btree.Set[string]{}
		for _, few := range k.few {
			k.many.Load(few)
		}
		k.few = nil
	}
	if k.many != nil {
		k.many.Insert(key)
		return
	}
	at, _ := slices.BinarySearch(k.few, key)
	k.few = slices.Insert(k.few, at, key)
}

// remove takes out a key that is there.
func (k *keySet) remove(key string) {
	if k.many != nil {
		k.many.Delete(key)
		return
	}
	at, _ := slices.BinarySearch(k.few, key)
	k.few = slices.Delete(k.few, at, at+1)
}

// all returns a new list of the keys in the order of their bytes; nil if there is none.
func (k *keySet) all() []string {
	switch {
	case k == nil:
		return nil
	case k.many != nil:
		return k.many.Keys()
	}
	return slices.Clone(k.few)
}

// scan calls f for each key in the order of their bytes, until it returns false.
func (k *keySet) scan(f func(key string) bool) {
	switch {
	case k == nil:
	case k.many != nil:
		k.many.Scan(f)
	default:
		for _, key := range k.few {
			if !f(key) {
				return
			}
		}
	}
}

// next returns the first key from one on.
func (k *keySet) next(from string) (key string, ok bool) {
	switch {
	case k == nil:
	case k.many != nil:
		k.many.Ascend(from, func(first string) bool {
			key, ok = first, true
			return false
		})
	default:
		if at, _ := slices.BinarySearch(k.few, from); at < len(k.few) {
			return k.few[at], true
		}
	}
	return key, ok
}

// clone returns a set that may be changed while others read k.
func (k *keySet) clone(generation uint64) *keySet {
	c := &keySet{generation: generation, sum: k.sum, few: slices.Clone(k.few)}
	if k.many != nil {
		c.many = k.many.Copy()
	}
	return c
}
