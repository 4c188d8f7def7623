package rsm_test

import (
	"encoding"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"reflect"
	"testing"

	"balsa.example/raft"
	"balsa.example/rsm"
)

var (
	_ encoding.BinaryMarshaler   = (*rsm.MemoryStorage)(nil)
	_ encoding.BinaryUnmarshaler = (*rsm.MemoryStorage)(nil)
)

// filled is a storage with something in each of its fields.
func filled(t testing.TB) *rsm.MemoryStorage {
	t.Helper()
	conf := raft.NewConfiguration(1, 2, 3)
	conf.Learners = []raft.NodeID{4}
	s := rsm.NewMemoryStorage(conf)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var entries []raft.Entry
	for i := range raft.Index(9) {
		entries = append(entries, raft.Entry{Term: raft.Term(1 + i/4), Index: i + 1, Kind: raft.EntryCommand, Data: []byte{byte(i), 0xff}})
	}
	must(s.Save([]raft.Persist{{Seq: 1, HardState: &raft.HardState{Term: 7, Vote: 2, LeaseGrant: 1000, LostLog: 3}, Entries: entries}}))
	meta := raft.SnapshotMeta{Index: 5, Term: 2, Configuration: conf}
	must(s.SaveSnapshot(meta, func(w io.Writer) error { _, err := io.WriteString(w, "state at 5"); return err }))
	must(s.Compact(3))
	return s
}

// contents is all that can be read from a storage.
func contents(t *testing.T, s *rsm.MemoryStorage) (raft.State, raft.SnapshotMeta, string, int64) {
	t.Helper()
	logBytes := s.LogBytes() // Load may drop a log that the snapshot replaces
	meta, r, err := s.OpenSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	state, err := s.Load(meta)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return state, meta, string(data), logBytes
}

func marshal(t testing.TB, s *rsm.MemoryStorage) []byte {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemoryStorageRoundTrip(t *testing.T) {
	for name, s := range map[string]*rsm.MemoryStorage{
		"new": rsm.NewMemoryStorage(raft.NewConfiguration(1, 2)), "filled": filled(t), "zero": new(rsm.MemoryStorage),
	} {
		b := marshal(t, s)
		copied := filled(t) // what it held before is replaced
		if err := copied.UnmarshalBinary(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		clear(b) // the storage keeps nothing of it
		state, meta, data, logBytes := contents(t, s)
		state2, meta2, data2, logBytes2 := contents(t, copied)
		if !reflect.DeepEqual(state, state2) || !reflect.DeepEqual(meta, meta2) || data != data2 || logBytes != logBytes2 {
			t.Errorf("%s: got %+v %s %q %d, want %+v %s %q %d", name, state2, meta2, data2, logBytes2, state, meta, data, logBytes)
		}
	}
}

// TestMemoryStorageRefusesDamage: each bit that is flipped, each length that is cut, and
// bytes more are noticed, and change nothing.
func TestMemoryStorageRefusesDamage(t *testing.T) {
	b := marshal(t, filled(t))
	s := rsm.NewMemoryStorage(raft.NewConfiguration(9))
	before := marshal(t, s)
	refuses := func(what string, at int, damaged []byte) {
		t.Helper()
		if err := s.UnmarshalBinary(damaged); !errors.Is(err, rsm.ErrMemoryFormat) {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
	}
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			refuses("flipped", i, b)
			b[i] ^= 1 << bit
		}
		refuses("cut", i, b[:i])
	}
	refuses("longer", len(b), append(b[:len(b):len(b)], 0))
	if after := marshal(t, s); string(after) != string(before) {
		t.Error("damaged bytes have changed the storage")
	}
}

// FuzzMemoryStorage: whatever has the right checksum is refused, or read and written the same.
func FuzzMemoryStorage(f *testing.F) {
	const magic = 8
	for _, s := range []*rsm.MemoryStorage{filled(f), rsm.NewMemoryStorage(raft.NewConfiguration(1))} {
		b := marshal(f, s)
		f.Add(b[magic : len(b)-4])
	}
	first := marshal(f, new(rsm.MemoryStorage))[:magic]
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append(first[:magic:magic], body...)
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		s := new(rsm.MemoryStorage)
		if err := s.UnmarshalBinary(b); err != nil {
			return
		}
		again := new(rsm.MemoryStorage)
		if err := again.UnmarshalBinary(marshal(t, s)); err != nil {
			t.Fatal(err)
		}
		if string(marshal(t, s)) != string(marshal(t, again)) {
			t.Error("not the same")
		}
	})
}
