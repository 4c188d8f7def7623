package state_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
)

// deleting is a member with a key in a run that is worth keeping, and its deletion in a later one.
type deleting struct {
	t        *testing.T
	fs       *crashfs.Mem
	m        *state.Machine
	position raft.SnapshotMeta
}

func newDeleting(t *testing.T, runBytes int64, after func(d *deleting)) *deleting {
	d := &deleting{t: t, fs: crashfs.NewCrashableMem(), position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1, 2)}}
	d.open(runBytes)
	d.do(set("gone", "value"))
	for i := range 100 {
		d.do(set(fmt.Sprint("kept ", i), valueOf(i)))
	}
	d.do(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "gone", Unconditional: true}})
	after(d)
	d.tidy()
	return d
}

func (d *deleting) open(runBytes int64) {
	d.t.Helper()
	d.m = state.New(state.Config{FS: d.fs, Dir: "state", Cluster: 7, ID: 1, RunBytes: runBytes, CacheBytes: -1})
	if _, _, err := d.m.Open(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deleting) do(c state.Command) {
	d.m.DoOp(c)
	d.position.Index++
}

// tidy compacts, makes that durable, and does all work that follows of it.
func (d *deleting) tidy() {
	d.t.Helper()
	d.do(compact(d.m.Revision()))
	d.checkpoint()
	d.maintain()
}

func (d *deleting) checkpoint() {
	d.t.Helper()
	if _, err := d.m.Checkpoint(d.position)(context.Background()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deleting) maintain() {
	d.t.Helper()
	for steps := 0; ; steps++ {
		more, err := d.m.Maintain()
		if err != nil || steps > 1000 {
			d.t.Fatalf("after %d steps: %v", steps, err)
		}
		if !more {
			return
		}
	}
}

func (d *deleting) wantGone() {
	d.t.Helper()
	hash := d.m.Hash()
	d.open(8 << 10)
	if r := d.m.Get("gone"); r.Code != kv.CodeNoKey || d.m.Hash() != hash {
		d.t.Errorf("the deleted key: %v, %q", r.Err(), r.Value)
	}
}

// often fills runs of which hardly anything is left.
func often(d *deleting) {
	for i := range 400 {
		d.do(set(fmt.Sprint("often ", i%3), valueOf(i)))
	}
}

// The run with the deletion is written anew, and the one before it, with the key, is not.
func TestADeletedKeyStaysDeleted(t *testing.T) {
	d := newDeleting(t, 8<<10, often)
	if f := d.m.Figures(); f.RunBytes > 30<<10 {
		t.Fatalf("%d bytes are left in %d runs", f.RunBytes, f.Runs)
	}
	d.wantGone()
	often(d)
	d.tidy() // nothing is known of the runs before the start
	d.wantGone()
}

// Deletions go when nothing is left that they hide: they do not fill the disk.
func TestDeletionsGoInTheEnd(t *testing.T) {
	churn := func(d *deleting) {
		for i := range 300 {
			key := fmt.Sprint("short ", d.position.Index, i)
			d.do(set(key, "v"))
			d.do(state.Command{Op: kv.Op{Kind: kv.Delete, Key: key, Unconditional: true}})
		}
	}
	d := newDeleting(t, 8<<10, churn)
	for round := range 30 {
		churn(d)
		d.tidy()
		if round%7 == 6 {
			d.wantGone()
			d.tidy()
		}
		if f := d.m.Figures(); f.RunBytes > 60<<10 {
			t.Fatalf("round %d: %d bytes in %d runs, of which %d are in use", round, f.RunBytes, f.Runs, f.HistoryBytes)
		}
	}
}

// A damaged run had the deletion, which no index knows any more.
func TestARebuiltRunBringsNoKeyBack(t *testing.T) {
	more := func(d *deleting) {
		for i := range 100 {
			d.do(set(fmt.Sprint("more ", i), valueOf(i)))
		}
	}
	d, peer := newDeleting(t, 8<<10, more), newDeleting(t, 20<<10, more)
	s := &scrubbed{t: t, fs: d.fs, m: d.m, whole: map[string][]byte{}}
	names, err := d.fs.List("state")
	if err != nil {
		t.Fatal(err)
	}
	damaged := ""
	for _, name := range names {
		if strings.HasPrefix(name, "run-") && name != "run-1" {
			if s.whole[name] = s.read(name); bytes.Contains(s.whole[name], []byte("gone")) {
				damaged = name
			}
		}
	}
	s.damage(damaged, 100)
	d.m.UseFetcher(from{peer.m})
	if err := s.scrub(); err != nil || d.m.Figures().Repaired != 1 {
		t.Fatalf("repaired %d: %v", d.m.Figures().Repaired, err)
	}
	d.wantGone()
}

// What happened at the compacted revision can be read until a later one is compacted. So the end of a key stays,
// which no other read shows, also when nothing is left that it hides and the files around it are written anew.
func TestADeletionAtTheCompactedRevisionIsTold(t *testing.T) {
	for others := range 60 { // the deletion stands anywhere in a run
		d := &deleting{t: t, fs: crashfs.NewCrashableMem(), position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1, 2)}}
		d.open(4 << 10)
		for i := range 60 + others {
			d.do(set(fmt.Sprint("often ", i%3), valueOf(i)))
		}
		d.do(set("gone", "value"))
		d.do(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "gone", Unconditional: true}})
		at := d.m.Revision()
		d.do(compact(at))
		for i := range 40 {
			d.do(set("later", valueOf(i)))
		}
		d.checkpoint()
		if others%2 == 0 {
			d.open(4 << 10)
		}
		d.maintain()
		told := 0
		err := d.m.Scan(at, func(revision uint64, events []kv.Event) bool {
			if told += len(events); revision == at && (len(events) != 1 || events[0].Key != "gone" || !events[0].Deleted) {
				t.Errorf("behind %d others: at revision %d happened %+v", others, at, events)
			}
			return true
		})
		if err != nil || told != 41 {
			t.Errorf("behind %d others: %d events of 41: %v", others, told, err)
		}
	}
}

// A store whose keys are all gone is where it was after a restart, also when no record is left: its revision is not
// that of its newest record, and what it is compacted to can be read.
func TestAStoreOfWhichAllIsGoneKeepsItsRevision(t *testing.T) {
	d := &deleting{t: t, fs: crashfs.NewCrashableMem(), position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1, 2)}}
	d.open(4 << 10)
	for i := range 200 {
		d.do(set("key", valueOf(i)))
		d.do(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "key", Unconditional: true}})
	}
	for range 3 {
		d.tidy()
		revision, hash := d.m.Revision(), d.m.Hash()
		d.open(4 << 10)
		r, err := d.m.Range(kv.RangeOp{})
		if err != nil || r.Revision != revision || r.Count != 0 || d.m.Compacted() != revision || d.m.Hash() != hash {
			t.Fatalf("at revision %d, compacted at %d, with %d keys: %v; was at %d", r.Revision, d.m.Compacted(), r.Count, err, revision)
		}
		d.do(set("key", "last"))
		d.do(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "key", Unconditional: true}})
		told := 0
		err = d.m.Scan(revision+1, func(uint64, []kv.Event) bool { told++; return true })
		if err != nil || told != 2 || d.m.Revision() != revision+2 {
			t.Fatalf("%d revisions behind %d are told, up to %d: %v", told, revision, d.m.Revision(), err)
		}
	}
}
