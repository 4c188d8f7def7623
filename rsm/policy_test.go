package rsm

import (
	"math"
	"math/rand/v2"
	"testing"

	"balsa.example/raft"
)

func TestTheLogMayGrowWithTheSnapshot(t *testing.T) {
	for _, tt := range []struct {
		name     string
		set      int64 // Config.MaxRaftState
		snapshot int64
		want     int64
	}{
		{"by default 64 MiB", 0, 0, 64 << 20},
		{"of a small snapshot more than half", 0, 128 << 20, 64 << 20},
		{"of a large one half", 0, 10 << 30, 5 << 30},
		{"or what is set, whatever the snapshot", 1000, 10 << 30, 1000},
		{"which may be less", 1, 0, 1},
	} {
		c := Config[int, int]{MaxRaftState: tt.set}
		if got := c.snapshotPolicy().maxLog(tt.snapshot); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}

func TestTheLogHasABound(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name          string
		set, snapshot int64
		pending       int64
		want          int64
	}{
		{"by default 192 MiB", 0, 0, 64 * mib, 192 * mib},
		{"of a large snapshot one and a half", 0, 1 << 30, 64 * mib, 3 << 29},
		{"not less than what is admitted at a time", 1000, 0, 64 * mib, 64 * mib},
		{"without snapshots none", -1, 0, 64 * mib, 0},
		{"with a log that may grow without end that as well", 1 << 62, 0, 64 * mib, math.MaxInt64 / 3 * 3},
	} {
		c := Config[int, int]{MaxRaftState: tt.set}
		if got := c.snapshotPolicy().maxApplied(tt.snapshot, tt.pending); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}

func TestSpreadIsBoundedAndDiffers(t *testing.T) {
	const most = 1 << 20
	sum, close := int64(0), 0
	const snapshots = 1000
	for last := range raft.Index(snapshots) {
		one, other := spread(1, last*1000, most), spread(2, last*1000, most)
		if min(one, other) < 0 || max(one, other) > most/2 {
			t.Fatalf("spread of %d and %d, want 0 to %d", one, other, most/2)
		}
		if max(one, other)-min(one, other) < most/32 {
			close++
		}
		sum += one
	}
	// Two that are drawn evenly are within a sixteenth of the whole in one of eight cases.
	if mean := sum / snapshots; close > snapshots/6 || mean < most/5 || mean > most/3 {
		t.Errorf("%d of %d pairs are close; the mean is %d of %d", close, snapshots, mean, most/2)
	}
	if got := spread(1, 5, 0); got != 0 {
		t.Errorf("spread within nothing is %d", got)
	}
}

// single is a replica of a cluster of one, which leads.
func single(t *testing.T, p SnapshotPolicy, snapshotBytes int64) *Replica[int] {
	t.Helper()
	cfg := raft.Config{ID: 1, HeartbeatTicks: 5, ElectionTimeoutTicks: 10, Rand: rand.New(rand.NewPCG(1, 2))}
	s := raft.State{
		HardState: raft.HardState{Term: 1},
		Snapshot:  raft.SnapshotMeta{Index: 7, Term: 1, Configuration: raft.NewConfiguration(1)},
	}
	r, err := NewReplica[int](cfg, s, p, snapshotBytes)
	if err != nil {
		t.Fatal(err)
	}
	for now := raft.Instant(1); r.core.Role() != raft.Leader; now++ {
		settle(r, r.Turn(Events[int]{Ticked: true}, now))
	}
	return r
}

// settle does all that effects ask for, and returns the snapshot that is wanted, if any.
func settle(r *Replica[int], e Effects[int]) (want *raft.SnapshotMeta) {
	for !e.DiskTask.Empty() || !e.ApplyTask.Empty() {
		var ev Events[int]
		if e.Persist != nil {
			ev.Persisted = e.Persist.Seq
		}
		if n := len(e.Commands); n > 0 {
			ev.Applied = e.Commands[n-1].Entry.Index
		}
		if e.TakeSnapshot != nil {
			want = e.TakeSnapshot
		}
		e = r.Turn(ev, 1<<40)
	}
	return want
}

// submitted is how many bytes of log it takes until a snapshot is wanted.
func submitted(r *Replica[int]) (log int64, want *raft.SnapshotMeta) {
	for want == nil {
		want = settle(r, r.Turn(Events[int]{Submits: []Submission[int]{{Data: make([]byte, 100)}}}, 1<<40))
	}
	return r.bytesSinceSnapshot, want
}

func TestASnapshotIsDueByTheSizeOfTheLastOne(t *testing.T) {
	p := SnapshotPolicy{MaxRaftState: 10_000, Share: 0.5}
	between := func(what string, got, most int64) {
		t.Helper()
		if got < most-most/2 || got > most+200 {
			t.Errorf("%s a snapshot is wanted of %d bytes of log, want %d to %d", what, got, most-most/2, most)
		}
	}
	r := single(t, p, 0)
	log, want := submitted(r)
	between("after none", log, 10_000)

	r.SnapshotDone(*want, 100_000, true)
	settle(r, r.Turn(Events[int]{}, 1<<40))
	if got := r.core.LogBytes(); got > 50_000/4 {
		t.Errorf("%d bytes of log stay, want a quarter of what there may be at most", got)
	}
	log, want = submitted(r)
	between("after a large one", log, 50_000)

	r.SnapshotDone(*want, 0, false)
	r.snapshotPause = 0
	before := log
	if log, want = submitted(r); log > before+200 {
		t.Errorf("after one that failed the next is wanted of %d bytes of log, want at once, of about %d", log, before)
	}

	r.SnapshotDone(*want, 1000, true)
	log, _ = submitted(r)
	between("after a small one", log, 10_000)

	log, _ = submitted(single(t, p, 100_000))
	between("after a start from a large one", log, 50_000)
}

// TestTheLogIsCutWhenTheDiskHasCaughtUp: a follower may have executed, and have in a snapshot, what its own disk does not
// have in the log yet. That is cut off when the disk has it, also if no other snapshot follows: a full log would stay full.
func TestTheLogIsCutWhenTheDiskHasCaughtUp(t *testing.T) {
	conf := raft.NewConfiguration(1, 2, 3)
	state := raft.State{Snapshot: raft.SnapshotMeta{Configuration: conf}}
	r, err := NewReplica[int](raft.Config{ID: 1, Rand: fixedRand{}}, state, SnapshotPolicy{MaxRaftState: 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := &raft.AppendEntries{Header: raft.Header{From: 2, To: 1, Term: 1}, Commit: 5, Round: 1}
	for i := range raft.Index(5) {
		m.Entries = append(m.Entries, raft.Entry{Term: 1, Index: i + 1, Data: make([]byte, 100)})
	}
	got := r.Turn(Events[int]{Messages: []raft.Message{m}}, 1)
	if len(got.Commands) != 5 || got.Persist == nil {
		t.Fatalf("%d commands are executed, of five that are committed, and persisted: %v", len(got.Commands), got.Persist)
	}
	seq := got.Persist.Seq
	saved := func(r *Replica[int]) {
		r.SnapshotDone(raft.SnapshotMeta{Index: 5, Term: 1, Configuration: conf}, 0, true)
	}
	got = r.Turn(Events[int]{Applied: 5, Calls: []func(*Replica[int]){saved}}, 2)
	if got.Compact != 0 {
		t.Errorf("the log is cut up to %d, and nothing of it is on the disk", got.Compact)
	}
	if got = r.Turn(Events[int]{Persisted: seq}, 3); got.Compact != 5 {
		t.Errorf("when the disk has all five entries the log is cut up to %d", got.Compact)
	}
}
