package index

// slot is a key with its newest version. It takes 64 bytes, a line of the processor's cache.
type slot struct {
	mod, create, version uint64
	lease                int64
	older                olderLink
	jump                 uint64 // the number of the newest jump among the older versions, like that of older
	ref                  Ref
	key                  keyPlace
}

// deleted tells whether the newest version is a tombstone.
func (v *slot) deleted() bool { return v.version == 0 }

func (v *slot) link() *uint32 { return &v.ref.Offset }

// slots has a slot for each key, and its bytes.
type slots struct {
	pool  pool[slot, *slot]
	bytes keys
}

func (t *slots) at(s Slot) *slot   { return t.pool.at(uint32(s)) }
func (t *slots) key(s Slot) string { return t.bytes.get(t.at(s).key) }
func (t *slots) memory() int64     { return t.pool.memory() + t.bytes.memory() }

func (t *slots) add(key string) Slot {
	s := Slot(t.pool.take())
	t.at(s).key = t.bytes.add(key)
	return s
}

func (t *slots) remove(s Slot) {
	t.bytes.remove(t.at(s).key)
	t.pool.release(uint32(s))
}
