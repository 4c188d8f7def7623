package rsm

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"balsa.example/raft"
)

// sum is a state machine that adds up numbers, which are their own encoding.
type sum struct{ total int }

func (s *sum) DoOp(n int) int { s.total += n; return s.total }

func (s *sum) Snapshot() (io.WriterTo, error) { return strings.NewReader("image"), nil }

// Restore takes a sum from one byte.
func (s *sum) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil {
		s.total, err = s.Decode(b)
	}
	return err
}

func (s *sum) Append(dst []byte, n int) []byte { return append(dst, byte(n)) }

func (s *sum) Decode(b []byte) (int, error) {
	if len(b) != 1 {
		return 0, errors.New("not a number")
	}
	return int(b[0]), nil
}

// fixedSnapshot is a Snapshots with one snapshot, or with an error.
type fixedSnapshot struct {
	index raft.Index
	err   error
}

func (s fixedSnapshot) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	return raft.SnapshotMeta{Index: s.index}, io.NopCloser(strings.NewReader("d")), s.err
}

func (s fixedSnapshot) SaveSnapshot(raft.SnapshotMeta, func(io.Writer) error) error { return s.err }

// commands returns entries of one operation each from first on; somebody waits for all.
func commands(first raft.Index, data ...string) (cs []Command[string]) {
	for i, d := range data {
		e := raft.Entry{Index: first + raft.Index(i), Term: 1, Kind: raft.EntryCommand, Data: []byte(d)}
		cs = append(cs, Command[string]{e, fmt.Sprint(e.Index), true})
	}
	return cs
}

// Whatever becomes of a task, each who waits hears of it once.
func TestApplierTellsEachWaiterOnce(t *testing.T) {
	at := func(i raft.Index) *raft.SnapshotMeta { return &raft.SnapshotMeta{Index: i} }
	broken := errors.New("broken")
	tests := []struct {
		name    string
		newest  raft.Index
		open    error
		tasks   []ApplyTask[string]
		ends    []string
		index   raft.Index
		wantErr string
	}{
		{name: "entries in order", tasks: []ApplyTask[string]{{Commands: commands(1, "\x02", "\x03")}},
			ends: []string{"1: 2 <nil>", "2: 5 <nil>"}, index: 2},
		{name: "a snapshot newer than was asked for covers entries", newest: 4,
			tasks: []ApplyTask[string]{{Restore: at(2), Commands: commands(3, "\x01", "\x01", "\x01")}},
			ends:  []string{"3: 0 outcome unknown", "4: 0 outcome unknown", "5: 101 <nil>"}, index: 5},
		{name: "a snapshot that is covered is left", newest: 4,
			tasks: []ApplyTask[string]{{Restore: at(4)}, {Restore: at(3), Commands: commands(5, "\x01")}},
			ends:  []string{"5: 101 <nil>"}, index: 5},
		{name: "the newest snapshot is too old", newest: 1,
			tasks: []ApplyTask[string]{{Restore: at(2), Commands: commands(3, "\x01")}},
			ends:  []string{"3: 0 replica stopped"}, wantErr: "the newest is"},
		{name: "no snapshot can be opened", open: broken,
			tasks: []ApplyTask[string]{{Restore: at(2), Commands: commands(3, "\x01")}},
			ends:  []string{"3: 0 replica stopped"}, wantErr: "broken"},
		{name: "a gap", tasks: []ApplyTask[string]{{Commands: append(commands(1, "\x01"), commands(3, "\x01", "\x01")...)}},
			ends: []string{"1: 1 <nil>", "3: 0 replica stopped", "4: 0 replica stopped"}, index: 1, wantErr: "apply entry 3 on a state at 1"},
		{name: "an operation that is none", tasks: []ApplyTask[string]{{Commands: commands(1, "\x01", "12", "\x01")}},
			ends: []string{"1: 1 <nil>", "2: 0 replica stopped", "3: 0 replica stopped"}, index: 1, wantErr: "decode the operation at 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ends []string
			machine := &sum{}
			snapshots := fixedSnapshot{index: tt.newest, err: tt.open}
			a := Applier[int, int, string]{
				Machine: WithSnapshots(machine, snapshots), Codec: machine,
				End: func(w string, _ EntryID, n int, err error) { ends = append(ends, fmt.Sprintf("%s: %d %v", w, n, err)) },
			}
			var err error
			for _, task := range tt.tasks {
				_, err = a.Apply(task)
			}
			if got := fmt.Sprint(err); (err != nil) != (tt.wantErr != "") || !strings.Contains(got, tt.wantErr) {
				t.Errorf("error is %v, want %q", err, tt.wantErr)
			}
			if !reflect.DeepEqual(ends, tt.ends) || a.Index() != tt.index {
				t.Errorf("at %d, ended %q; want %d, %q", a.Index(), ends, tt.index, tt.ends)
			}
		})
	}
}

// preparing is a machine that notes what it is prepared for, and what is executed.
type preparing struct {
	DurableMachine[int, int]
	ahead []int
	calls []int // how many each Prepare has
	wrong int   // operations that it was not prepared for
}

func (p *preparing) Prepare(ops []int) {
	p.ahead, p.calls = append(p.ahead, ops...), append(p.calls, len(ops))
}

func (p *preparing) DoOp(n int) int {
	if len(p.calls) > 0 && (len(p.ahead) == 0 || p.ahead[0] != n) {
		p.wrong++
	} else if len(p.ahead) > 0 {
		p.ahead = p.ahead[1:]
	}
	return p.DurableMachine.DoOp(n)
}

// A machine is told of the operations that it executes next, of a bounded number, and not of a single
// one.
func TestApplierPreparesForWhatIsNext(t *testing.T) {
	adder, storage := &sum{}, NewMemoryStorage(raft.NewConfiguration(1))
	machine := &preparing{DurableMachine: WithSnapshots(adder, storage)}
	a := Applier[int, int, string]{Machine: machine, Codec: adder, End: func(string, EntryID, int, error) {}}
	if _, _, err := a.Load(storage); err != nil {
		t.Fatal(err)
	}
	entries := commands(1, "\x01")
	var data []string
	for i := range 2*maxPrepared + 10 {
		data = append(data, string([]byte{byte(i % 100)}))
	}
	more := commands(2, data...)
	more[5].Entry.Kind = raft.EntryNoop // no operation
	for _, task := range []ApplyTask[string]{{Commands: entries}, {Commands: more}} {
		if _, err := a.Apply(task); err != nil {
			t.Fatal(err)
		}
	}
	want := []int{maxPrepared - 1, maxPrepared, 10}
	if !reflect.DeepEqual(machine.calls, want) || machine.wrong > 0 || len(machine.ahead) > 0 || cap(a.ops) > 2*maxPrepared {
		t.Errorf("prepared %d, want %d; %d wrong, %d not executed", machine.calls, want, machine.wrong, len(machine.ahead))
	}
}

// The parts of a task are of a bounded length, and do together what the task does, in its order.
func TestATaskIsCutIntoParts(t *testing.T) {
	for _, n := range []int{0, 1, maxPrepared, maxPrepared + 1, 3*maxPrepared + 7} {
		task := ApplyTask[string]{
			Restore: &raft.SnapshotMeta{Index: 1}, Hash: 7, TakeSnapshot: &raft.SnapshotMeta{Index: 9},
			Commands: commands(2, slices.Repeat([]string{"\x01"}, n)...),
		}
		var parts []ApplyTask[string]
		for rest := task; !rest.Empty(); {
			parts = append(parts, rest.cut())
		}
		joined := ApplyTask[string]{Restore: parts[0].Restore, Hash: parts[0].Hash, TakeSnapshot: parts[len(parts)-1].TakeSnapshot, Commands: []Command[string]{}}
		for i, p := range parts {
			joined.Commands = append(joined.Commands, p.Commands...)
			if len(p.Commands) > maxPrepared || i > 0 && (p.Restore != nil || p.Hash > 0) || i < len(parts)-1 && p.TakeSnapshot != nil {
				t.Errorf("part %d of %d commands is of %d: %+v", i, n, len(p.Commands), p)
			}
		}
		if len(joined.Commands) != n || n > 0 && !reflect.DeepEqual(joined, task) {
			t.Errorf("%d commands became %d in %d parts", n, len(joined.Commands), len(parts))
		}
	}
}

// An image is of exactly the state that its meta names, or there is none.
func TestApplierTakesAnImageOfOneStateOnly(t *testing.T) {
	machine, storage := &sum{}, NewMemoryStorage(raft.NewConfiguration(1))
	a := Applier[int, int, string]{Machine: WithSnapshots(machine, storage), Codec: machine, End: func(string, EntryID, int, error) {}}
	for _, tt := range []struct {
		index raft.Index
		want  string
	}{{2, "image"}, {1, ""}, {3, ""}} {
		first := a.Index() + 1
		task := ApplyTask[string]{TakeSnapshot: &raft.SnapshotMeta{Index: tt.index}}
		if first == 1 {
			task.Commands = commands(1, "\x01", "\x01")
		}
		checkpoint, err := a.Apply(task)
		if err != nil {
			t.Fatal(err)
		}
		written, err := checkpoint.Work(t.Context())
		if written != int64(len(tt.want)) || (err == nil) != (tt.want != "") {
			t.Errorf("checkpoint of %d at %d: %d bytes, %v", tt.index, a.Index(), written, err)
		}
		meta, data, err := storage.OpenSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(data); err != nil || string(b) != "image" || meta.Index != 2 {
			t.Errorf("after a checkpoint of %d the newest snapshot is %s of %q, %v", tt.index, meta, b, err)
		}
	}
}

func TestDiskStepsAreOneSaveThenTheFurthestCompaction(t *testing.T) {
	persist := func(seq uint64) *raft.Persist { return &raft.Persist{Seq: seq} }
	steps := DiskSteps([]DiskTask{{Persist: persist(1), Compact: 3}, {Compact: 5}, {Persist: persist(2)}}, SaveBytes)
	want := []DiskStep{{Persists: []raft.Persist{{Seq: 1}, {Seq: 2}}}, {Compact: 5}}
	if !reflect.DeepEqual(steps, want) {
		t.Errorf("got %v, want %v", steps, want)
	}
	storage := NewMemoryStorage(raft.NewConfiguration(1))
	for i, persisted := range []uint64{2, 0} {
		if seq, err := steps[i].Do(storage); seq != persisted || err != nil {
			t.Errorf("step %d says %d is persisted, error %v", i, seq, err)
		}
	}
	if steps := DiskSteps(nil, SaveBytes); steps != nil {
		t.Errorf("of nothing %v is to be done", steps)
	}
}

// TestASaveIsBounded: what waits is written in pieces of SaveBytes, and all of it, in order. A Check needs no Save of its
// own then.
func TestASaveIsBounded(t *testing.T) {
	const size = SaveBytes / 4
	var tasks []DiskTask
	for seq := uint64(1); seq <= 12; seq++ {
		tasks = append(tasks, DiskTask{Persist: &raft.Persist{Seq: seq, Entries: []raft.Entry{{Index: raft.Index(seq), Data: make([]byte, size)}}}})
	}
	tasks[7].Compact, tasks[11].Check = 5, true
	steps := DiskSteps(tasks, SaveBytes)
	next, sizes := uint64(1), []int(nil)
	for _, s := range steps[:len(steps)-1] {
		sizes = append(sizes, len(s.Persists))
		for _, p := range s.Persists {
			if p.Seq != next {
				t.Fatalf("persist %d is where %d should be", p.Seq, next)
			}
			next++
		}
	}
	if next != 13 || !slices.Equal(sizes, []int{4, 4, 4}) || steps[len(steps)-1].Compact != 5 {
		t.Errorf("Saves of %v up to %d, then %v", sizes, next-1, steps[len(steps)-1])
	}
	tasks[0].Persist.Entries[0].Data, tasks[0].Check = make([]byte, 3*SaveBytes), true
	if steps := DiskSteps(tasks[:1], SaveBytes); len(steps) != 1 || len(steps[0].Persists) != 1 {
		t.Errorf("one large Persist makes %d steps", len(steps))
	}
	if steps := DiskSteps([]DiskTask{{Check: true}}, SaveBytes); len(steps) != 1 || len(steps[0].Persists) != 0 || steps[0].Compact != 0 {
		t.Errorf("of a Check alone %v is to be done, want an empty Save", steps)
	}
}
