package index

const (
	// groupSize is how many older versions are purged together: a revision is noted for so
	// many only.
	groupSize = 32
	// jumpEvery is how many older versions of a key stand between two jumps.
	jumpEvery = 32
	// maxDistance is above what fits into the numbers of a node.
	maxDistance = 1 << 32
)

// node is an older version of a key, or a jump.
//
// A key that changes all the time has a long list of older versions. Jumps in it lead over
// many of them at once, so that a search takes a number of steps that grows with the
// logarithm of the list. A jump stands before the version that it names. It leads to the jump
// before it, and to one that is far, which is chosen as by E. Myers, "An applicative
// random-access stack", 1983.
type node struct {
	version nodeVersion
	ref     Ref    // of a jump: see newJump
	next    uint32 // how many numbers before is the next older node; 0 for none
}

// nodeVersion is a revision, and what kind of node it is.
type nodeVersion uint64

const (
	deletedFlag nodeVersion = 1 << iota
	jumpFlag
	flagBits = 2
)

func newNodeVersion(mod uint64, deleted bool) nodeVersion {
	v := nodeVersion(mod << flagBits)
	if deleted {
		v |= deletedFlag
	}
	return v
}

func (v nodeVersion) mod() uint64   { return uint64(v >> flagBits) }
func (v nodeVersion) deleted() bool { return v&deletedFlag != 0 }
func (v nodeVersion) jump() bool    { return v&jumpFlag != 0 }

// newJump returns a jump before a version, for a list that has so many jumps. last and far are
// how many numbers before are the jumps that it leads to, 0 for none.
func newJump(before nodeVersion, jumps, last, far, next uint32) node {
	return node{version: before | jumpFlag, ref: Ref{Run: jumps, Offset: far, Size: last}, next: next}
}

func (n *node) jumps() uint32 { return n.ref.Run }
func (n *node) far() uint32   { return n.ref.Offset }
func (n *node) last() uint32  { return n.ref.Size }

// olderLink leads to a slot's newest older version: its number, and how many versions there
// are down to the next jump. If there is none, the number is 0, or below the first that is
// left.
type olderLink uint64

func newOlderLink(number, plain uint64) olderLink { return olderLink(number<<8 | plain) }
func (l olderLink) number() uint64                { return uint64(l >> 8) }
func (l olderLink) plain() uint64                 { return uint64(l & 0xff) }

// olderVersions has the versions that are not the newest of their keys, in the order in which
// newer ones came. So what compaction allows to forget is at the front, and goes without a
// look at the keys: whoever has a link to it sees that its number is too low.
type olderVersions struct {
	nodes queue[node]
	// groups has for each group of numbers the revision of what came after its last node.
	groups queue[uint64]
	jumps  int // among the nodes
	// purged: all versions that were followed before this revision were dropped.
	purged uint64
}

func newOlderVersions() olderVersions {
	return olderVersions{nodes: queue[node]{first: 1, next: 1}}
}

// push adds a version that is newer than v's older ones, and was followed at the revision by.
func (o *olderVersions) push(v *slot, version nodeVersion, ref Ref, by uint64) {
	plain := uint64(0)
	if o.has(v.older.number()) {
		plain = v.older.plain()
		if plain == jumpEvery {
			plain = 0
			o.pushJump(v, by)
		}
	}
	next := o.distance(v.older.number())
	v.older = newOlderLink(o.nodes.next, plain+1)
	o.add(node{version: version, ref: ref, next: next}, by)
}

func (o *olderVersions) pushJump(v *slot, by uint64) {
	newest, last := v.older.number(), v.jump
	jumps, far := o.farJump(last)
	o.jumps++
	jump := newJump(o.nodes.at(newest).version, jumps+1, o.distance(last), o.distance(far), o.distance(newest))
	v.older, v.jump = newOlderLink(o.nodes.next, 0), o.nodes.next
	o.add(jump, by)
}

// farJump returns where a jump leads that is put above the jump last, and how many jumps there
// are up to last.
func (o *olderVersions) farJump(last uint64) (jumps uint32, far uint64) {
	if !o.has(last) {
		return 0, 0
	}
	l := o.nodes.at(last)
	middle := before(last, l.far())
	if !o.has(middle) {
		return l.jumps(), last
	}
	m := o.nodes.at(middle)
	far = before(middle, m.far())
	if o.has(far) && l.jumps()-m.jumps() == m.jumps()-o.nodes.at(far).jumps() {
		return l.jumps(), far
	}
	return l.jumps(), last
}

// distance returns how far the next node is behind a number, 0 if that has no node.
func (o *olderVersions) distance(number uint64) uint32 {
	if !o.has(number) {
		return 0
	}
	d := o.nodes.next - number
	if d >= maxDistance {
		panic("index: too many older versions")
	}
	return uint32(d)
}

// before returns the number that is so far before another one, 0 if the distance is 0.
func before(number uint64, distance uint32) uint64 {
	if distance == 0 {
		return 0
	}
	return number - uint64(distance)
}

func (o *olderVersions) add(n node, by uint64) {
	if group := o.nodes.next / groupSize; group == o.groups.next {
		o.groups.push(by)
	} else {
		*o.groups.at(group) = by
	}
	o.nodes.push(n)
}

func (o *olderVersions) has(number uint64) bool { return number >= o.nodes.first }

// find returns the newest of the versions below l whose revision is not above the given one,
// nil for none.
func (o *olderVersions) find(l olderLink, revision uint64) (found *node) {
	for number := l.number(); found == nil && o.has(number); {
		number, found = o.step(number, revision)
	}
	return found
}

// step looks at one node for a version whose revision is not above the given one. It returns
// the number to go on with, unless it is found.
func (o *olderVersions) step(number, revision uint64) (next uint64, found *node) {
	n := o.nodes.at(number)
	if n.version.jump() {
		for _, distance := range [...]uint32{n.far(), n.last()} {
			if to := before(number, distance); o.has(to) && o.nodes.at(to).version.mod() > revision {
				return to, nil
			}
		}
	} else if n.version.mod() <= revision {
		return 0, n
	}
	return before(number, n.next), nil
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
			if node := o.nodes.at(number); node.version.jump() {
				o.jumps--
			} else {
				dropped(node.ref)
			}
			n++
		}
		o.purged = *o.groups.at(group)
		o.nodes.drop(end)
		o.groups.drop(end / groupSize)
	}
	return n
}

func (o *olderVersions) count() int { return o.nodes.len() - o.jumps }

func (o *olderVersions) memory() int64 { return o.nodes.memory() + o.groups.memory() }
