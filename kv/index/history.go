package index

// at returns the newest version of a slot whose revision is not above the given one, and what
// there is to change of it: nil if there is none.
func (x *Index) at(s Slot, revision uint64) (nodeVersion, *Ref) {
	if s == 0 {
		return 0, nil
	}
	v := x.table.at(s)
	if v.mod <= revision {
		return newNodeVersion(v.mod, v.deleted()), &v.ref
	}
	if n := x.older.find(v.older, revision); n != nil {
		return n.version, &n.ref
	}
	return 0, nil
}

// At returns the version that a key had at a revision, which can be a tombstone. If there is
// none, as of slot 0, ref.Run is 0. Whether the revision is below the compacted one is for the caller to
// know: then At may return a version or none.
func (x *Index) At(s Slot, revision uint64) (mod uint64, ref Ref, deleted bool) {
	version, r := x.at(s, revision)
	if r == nil {
		return 0, Ref{}, false
	}
	return version.mod(), *r, version.deleted()
}

// Version returns where the version of exactly the revision mod is, and whether there is one.
func (x *Index) Version(s Slot, mod uint64) (Ref, bool) {
	version, r := x.at(s, mod)
	if r == nil || version.mod() != mod {
		return Ref{}, false
	}
	return *r, true
}

// Before returns the version before the one of the revision mod. If there is none, ref.Run
// is 0.
func (x *Index) Before(s Slot, mod uint64) (ref Ref, deleted bool) {
	if mod == 0 {
		return Ref{}, false
	}
	_, ref, deleted = x.At(s, mod-1)
	return ref, deleted
}

// Move says that the record of a version was copied to another place. It returns false, and
// changes nothing, if that version is not in the index, or not at from.
func (x *Index) Move(key string, mod uint64, from, to Ref) bool {
	s := x.Find(key)
	if s == 0 || to.Run == 0 {
		return false
	}
	version, r := x.at(s, mod)
	if r == nil || version.mod() != mod || *r != from {
		return false
	}
	*r = to
	return true
}
