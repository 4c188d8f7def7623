package index

// groupSize is how many older versions are purged together: a revision is noted for so many
// only.
const groupSize = 32

// node is an older version of a key.
type node struct {
	version nodeVersion
	ref     Ref
	next    uint32 // how many numbers before is the next older version; 0 for none
}

// nodeVersion is a revision, and whether it deleted the key.
type nodeVersion uint64

func newNodeVersion(mod uint64, deleted bool) nodeVersion {
	if deleted {
		return nodeVersion(mod<<1 | 1)
	}
	return nodeVersion(mod << 1)
}

func (v nodeVersion) mod() uint64   { return uint64(v >> 1) }
func (v nodeVersion) deleted() bool { return v&1 != 0 }

// olderLink is the number of a slot's newest older version. It is 0, or below the first that
// is left, if there is none.
type olderLink uint64

// olderVersions has the versions that are not the newest of their keys, in the order in which
// newer ones came. So what compaction allows to forget is at the front, and goes without a
// look at the keys: whoever has a link to it sees that its number is too low.
type olderVersions struct {
	nodes queue[node]
	// groups has for each group of numbers the revision of what came after its last node.
	groups queue[uint64]
}

func newOlderVersions() olderVersions {
	return olderVersions{nodes: queue[node]{first: 1, next: 1}}
}

// push adds a version that is newer than v's older ones, and was followed at the revision by.
func (o *olderVersions) push(v *slot, version nodeVersion, ref Ref, by uint64) {
	number := o.nodes.next
	n := node{version: version, ref: ref}
	if o.has(v.older) {
		if number-uint64(v.older) >= 1<<32 {
			panic("index: too many older versions")
		}
		n.next = uint32(number - uint64(v.older))
	}
	o.nodes.push(n)
	v.older = olderLink(number)
	if group := number / groupSize; group == o.groups.next {
		o.groups.push(by)
	} else {
		*o.groups.at(group) = by
	}
}

func (o *olderVersions) has(l olderLink) bool { return uint64(l) >= o.nodes.first }

// next returns a link to the version before that of n, whose number is l.
func (o *olderVersions) next(l olderLink, n *node) olderLink {
	if n.next == 0 {
		return 0
	}
	return l - olderLink(n.next)
}

// purge drops versions, about budget at most, after which came others before the compacted
// revision. It returns how many.
func (o *olderVersions) purge(compacted uint64, budget int, dropped func(Ref)) int {
	n := 0
	for o.nodes.len() > 0 && n < budget {
		group := o.nodes.first / groupSize
		if *o.groups.at(group) >= compacted {
			break
		}
		end := min((group+1)*groupSize, o.nodes.next)
		for number := o.nodes.first; number < end; number++ {
			dropped(o.nodes.at(number).ref)
			n++
		}
		o.nodes.drop(end)
		o.groups.drop(end / groupSize)
	}
	return n
}

func (o *olderVersions) count() int { return o.nodes.len() }

func (o *olderVersions) memory() int64 { return o.nodes.memory() + o.groups.memory() }
