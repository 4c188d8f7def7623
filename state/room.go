package state

import (
	"runtime"

	"balsa.example/kv"
	"balsa.example/kv/run"
)

// While a state that was received is loaded the old one serves reads, and both have an index of all keys in memory. A server
// may have so many keys that this is more than its memory, and would be killed each time it catches up. So there the
// old index goes first. The manifest of the new state is the newest durable one by then: if it cannot be loaded the
// replica stops, and the next process opens it. Files are not rewritten meanwhile, nor after such an error, since a
// state is received and not installed (see Maintain, Scrub): without an index all records would look dead.

const (
	// smallIndex divides Config.MaxIndexBytes: an index of less than that is not worth that reads are refused.
	smallIndex = 8
	// keyBytes is what a key takes in the index, beside its text.
	keyBytes = 100
	// muchGarbage is an index in bytes that is worth a collection. Less comes in a moment anyway, and the simulator would
	// spend an eighth of its time so.
	muchGarbage = 16 << 20
)

// makeRoom frees the index of a state if that of a manifest does not fit beside it.
func (m *Machine) makeRoom(old *present, mf *manifest) {
	f := old.keys.Figures()
	if m.bothFit(f, mf.runs) {
		return
	}
	old.indexFreed.Store(true) // first: no reader takes a key for missing
	old.keys.FreeIndex()
	if f.IndexBytes >= muchGarbage {
		runtime.GC() // else Go lets as much garbage come as was in use; the new index takes the memory of the old one so
	}
}

// bothFit tells whether an index of all records of some runs fits beside one that is there. It counts on as much memory for a
// record as that takes for a version of a key, and on each being a key of its own.
func (m *Machine) bothFit(f kv.Figures, runs []run.Info) bool {
	if most := m.cfg.MaxIndexBytes; most <= 0 || f.IndexBytes <= most/smallIndex {
		return true
	}
	var records int64
	for _, r := range runs {
		records += r.Records
	}
	each := max(float64(f.IndexBytes)/float64(max(f.Keys+f.Versions, 1)), keyBytes)
	return float64(f.IndexBytes)+each*float64(records) <= float64(m.cfg.MaxIndexBytes)
}
