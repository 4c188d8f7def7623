package rsm

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"balsa.example/raft"
)

// TestJudge: members 1 to n vote, and tell their hashes one after the other: 0 says nothing.
func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		hashes   []uint64 // of members 1, 2, ...; member 1 judges
		learners int      // of them, the last ones
		diverged bool
		alarm    bool
	}{
		{hashes: []uint64{7}},
		{hashes: []uint64{7, 7, 7}},
		{hashes: []uint64{7, 7, 8}},
		{hashes: []uint64{8, 7, 7}, diverged: true},
		{hashes: []uint64{7, 8, 0}, alarm: true}, // the third may agree with either
		{hashes: []uint64{7, 8, 9}, alarm: true},
		{hashes: []uint64{0, 7, 7}}, // its own is not known yet
		{hashes: []uint64{7, 0, 0}},
		{hashes: []uint64{7, 8}, alarm: true},
		{hashes: []uint64{7, 7, 8, 8, 0}, alarm: true},
		{hashes: []uint64{7, 7, 8, 8, 8}, diverged: true},
		{hashes: []uint64{7, 7, 7, 8, 9}},
		{hashes: []uint64{7, 7, 7, 8}, learners: 1},
		{hashes: []uint64{8, 7, 7, 8, 8}, learners: 2, diverged: true}, // learners do not count
	} {
		var c comparison
		c.startAt(5)
		var voters []raft.NodeID
		for i := range len(tc.hashes) - tc.learners {
			voters = append(voters, raft.NodeID(i+1))
		}
		for i, hash := range tc.hashes {
			if hash != 0 {
				c.hashes[raft.NodeID(i+1)] = hash
				c.decide(1, raft.NewConfiguration(voters...))
			}
		}
		if c.diverged != tc.diverged || c.alarm != tc.alarm {
			t.Errorf("%+v: diverged %t, alarm %t", tc, c.diverged, c.alarm)
		}
	}
}

// Who differs from a majority is remembered, when it is silent after that too, until it agrees.
func TestWhoDivergesIsRemembered(t *testing.T) {
	var c comparison
	conf := raft.NewConfiguration(1, 2, 3)
	conf.Learners = []raft.NodeID{4}
	for i, at := range []struct {
		hashes map[raft.NodeID]uint64
		odd    string
	}{
		{map[raft.NodeID]uint64{1: 7, 2: 8, 4: 8}, "[]"}, // nobody knows who is right
		{map[raft.NodeID]uint64{1: 7, 2: 7, 3: 8, 4: 9}, "[3 4]"},
		{map[raft.NodeID]uint64{1: 7, 2: 7}, "[3 4]"},
		{map[raft.NodeID]uint64{1: 7, 2: 7, 4: 7}, "[3]"},
		{map[raft.NodeID]uint64{1: 8, 2: 7, 3: 7}, "[]"}, // this one itself stops
	} {
		c.startAt(raft.Index(i + 1))
		maps.Copy(c.hashes, at.hashes)
		c.decide(1, conf)
		var odd []uint64
		for _, id := range slices.Sorted(maps.Keys(c.divergedPeers)) {
			odd = append(odd, uint64(id))
		}
		if got := fmt.Sprint(odd); got != at.odd {
			t.Errorf("at %d odd are %s, want %s", i+1, got, at.odd)
		}
	}
}

func TestAlarmEndsWhenAMajorityAgrees(t *testing.T) {
	var c comparison
	conf := raft.NewConfiguration(1, 2, 3)
	c.startAt(5)
	c.hashes[1], c.hashes[2] = 7, 8
	c.decide(1, conf)
	c.startAt(6)
	if c.decide(1, conf); !c.alarm {
		t.Error("a new index ends the alarm")
	}
	c.hashes[1], c.hashes[3] = 7, 7
	if c.decide(1, conf); c.alarm || c.diverged {
		t.Errorf("%+v", c)
	}
}

// summed is a Hasher that counts what it has executed.
type summed uint64

func (s *summed) DoOp(n uint64) uint64           { *s += summed(n); return uint64(*s) }
func (s *summed) Snapshot() (io.WriterTo, error) { return nil, nil }
func (s *summed) Restore(io.Reader) error        { return nil }
func (s *summed) Hash() uint64                   { return uint64(*s) }

type oneByte struct{}

func (oneByte) Append(dst []byte, n uint64) []byte { return append(dst, byte(n)) }
func (oneByte) Decode(data []byte) (uint64, error) { return uint64(data[0]), nil }

// TestApplierTellsHashes: of the present, and of the future when it gets there, in the midst
// of a task too; of the past it knows none.
func TestApplierTellsHashes(t *testing.T) {
	var told []string
	machine := new(summed)
	a := Applier[uint64, uint64, int]{
		Machine: WithSnapshots(machine, NewMemoryStorage(raft.NewConfiguration(1))), Hasher: machine, Codec: oneByte{},
		Hashed: func(index raft.Index, hash uint64) { told = append(told, fmt.Sprint(index, "=", hash)) },
	}
	next := raft.Index(1)
	apply := func(want raft.Index, n int) {
		task := ApplyTask[int]{Hash: want}
		for range n {
			task.Commands = append(task.Commands, Command[int]{Entry: raft.Entry{Index: next, Kind: raft.EntryCommand, Data: []byte{1}}})
			next++
		}
		if _, err := a.Apply(task); err != nil {
			t.Fatal(err)
		}
	}
	apply(3, 5)
	apply(2, 0) // gone by
	apply(7, 1)
	apply(0, 3)
	apply(9, 0)
	apply(12, 1)
	apply(11, 2) // the earlier question is void
	if got := fmt.Sprint(told); got != "[3=3 7=7 9=9 11=11]" {
		t.Errorf("told %s", got)
	}
}
