package kv

// Event is one change of one key. All changes of a revision belong together: a watcher gets
// all of them that it asked for, or none yet.
type Event struct {
	// Entry is the key after the change. Of a delete it has the key, and the revision of the
	// delete as ModRevision.
	Entry
	Deleted bool
	// Prev is what the key held before; nil if it was absent. It is set where somebody asks
	// for it.
	Prev *Entry
}

// Entry is one key with its value, version and revisions. Its Value must not be written to.
type Entry struct {
	Key            string
	Value          []byte
	Version        uint64
	CreateRevision uint64
	ModRevision    uint64
	// Lease is the lease that the key hangs on, 0 if there is none.
	Lease int64
}
