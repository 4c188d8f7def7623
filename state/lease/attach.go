package lease

// Room returns how many more keys can be attached to a lease. The error is ErrNotFound. A
// command asks before its first change, so that Attach refuses nothing later.
func (t *Table) Room(id int64) (int, error) {
	slot, ok := t.index[id]
	if !ok {
		return 0, ErrNotFound
	}
	return max(0, int(t.limits.KeysPerLease)-t.record(slot).keys.len()), nil
}

// NextKey returns the first key of a lease from one on, and false if there is none, or no such
// lease.
func (t *Table) NextKey(id int64, from string) (key string, ok bool) {
	if slot, exists := t.index[id]; exists {
		return t.record(slot).keys.next(from)
	}
	return "", false
}

// Attach notes that a key is on a lease. To attach it again changes nothing. A key is on one
// lease at most: the caller detaches it from the one before. The errors are ErrNotFound and
// ErrTooManyKeys.
func (t *Table) Attach(id int64, key string) error {
	slot, ok := t.index[id]
	if !ok {
		return ErrNotFound
	}
	keys := t.record(slot).keys
	switch {
	case keys.has(key):
		return nil
	case keys.len() >= int(t.limits.KeysPerLease):
		return ErrTooManyKeys
	}
	k := t.ownKeys(slot)
	k.insert(key)
	h := keyHash(id, key)
	k.sum += h
	t.sum += h
	t.keys++
	return nil
}

// Detach notes that a key is not on a lease any more. It changes nothing if the key is not on it,
// or if there is no such lease: then its keys have gone with it.
func (t *Table) Detach(id int64, key string) {
	slot, ok := t.index[id]
	if !ok || !t.record(slot).keys.has(key) {
		return
	}
	k := t.ownKeys(slot)
	k.remove(key)
	h := keyHash(id, key)
	k.sum -= h
	t.sum -= h
	t.keys--
	if k.len() == 0 {
		t.own(slot).keys = nil
	}
}

// ownKeys returns the keys of a lease to be changed.
func (t *Table) ownKeys(slot uint32) *keySet {
	k := t.record(slot).keys
	switch {
	case k == nil:
		k = &keySet{generation: t.generation}
	case k.generation == t.generation:
		return k
	default:
		k = k.clone(t.generation)
	}
	t.own(slot).keys = k
	return k
}
