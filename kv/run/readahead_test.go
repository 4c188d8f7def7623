package run

import (
	"errors"
	"testing"

	"balsa.example/vfs"
)

// sealedWorld is a history whose records are in one file, and not in memory.
func sealedWorld(t *testing.T, o *opener) *world {
	t.Helper()
	opts := testOptions(o)
	opts.RunBytes, opts.CacheBytes = 1<<20, -1
	w := filledWorld(t, opts, 100, 100)
	w.revision(1, 2<<20) // which ends the run
	w.revision(1, 10)
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRecordsThatLieTogetherAreReadAtOnce(t *testing.T) {
	o := &opener{FS: newMem(t)}
	w := sealedWorld(t, o)
	refs := w.refs[:200]
	last := refs[len(refs)-1]
	o.reads.Store(0)
	r := w.h.RecordReader()
	for i := range refs {
		if rec, err := r.Read(refs[i:]); err != nil || !equalRecords(rec, w.records[i]) {
			t.Fatalf("record %d: %+v, %v", i, rec, err)
		}
	}
	if n, most := o.reads.Load(), int64(last.Offset)/maxAhead+1; n > most {
		t.Errorf("%d reads of a file for %d bytes, want at most %d", n, last.Offset, most)
	}
	// A large record is read whole, and the one behind a wide gap by itself.
	for _, refs := range [][]Ref{{w.refs[200], refs[0]}, {refs[0], last}} {
		o.read.Store(0)
		r := w.h.RecordReader()
		if _, err := r.Read(refs); err != nil || o.read.Load() != int64(refs[0].Size) {
			t.Errorf("%d bytes are read for one record of %d (%v)", o.read.Load(), refs[0].Size, err)
		}
	}
}

// Damage behind a record does not keep it from being read, and is found where it is.
func TestDamageBehindARecordIsNotItsOwn(t *testing.T) {
	for _, cut := range []bool{false, true} {
		o := &opener{FS: newMem(t)}
		w := sealedWorld(t, o)
		name := w.h.files.Path(w.refs[1].Run)
		b, err := vfs.ReadFile(o, name)
		if err != nil {
			t.Fatal(err)
		}
		if at := w.refs[1].Offset + 20; cut {
			b = b[:at]
		} else {
			b[at] ^= 1
		}
		if err := vfs.WriteFile(o, name, b); err != nil { // opened when it is read
			t.Fatal(err)
		}
		r := w.h.RecordReader()
		if rec, err := r.Read(w.refs[:3]); err != nil || !equalRecords(rec, w.records[0]) {
			t.Errorf("cut %t: the record before: %+v, %v", cut, rec, err)
		}
		damage := new(CorruptError)
		if _, err := r.Read(w.refs[1:3]); !errors.As(err, &damage) || damage.Offset < int64(w.refs[1].Offset) {
			t.Errorf("cut %t: the damaged one: %v", cut, err)
		}
	}
}
