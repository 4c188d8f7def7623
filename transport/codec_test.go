package transport

import (
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"balsa.example/raft"
	"balsa.example/raft/quorum"

	"pgregory.net/rapid"
)

var kinds = []raft.MessageKind{
	raft.KindPreVote, raft.KindPreVoteReply, raft.KindRequestVote, raft.KindRequestVoteReply,
	raft.KindAppendEntries, raft.KindAppendEntriesReply, raft.KindAppendEntriesReject,
	raft.KindInstallSnapshot, raft.KindTimeoutNow, raft.KindReadIndex, raft.KindReadIndexReply, raft.KindLogLost,
	raft.KindStateHash,
}

// examples has one message of each kind, with no field at its zero value and no
// two fields alike.
func examples() []raft.Message {
	h := raft.Header{From: 1, To: 2, Term: 300}
	return []raft.Message{
		&raft.PreVote{Header: h, LastIndex: 4, LastTerm: 5},
		&raft.PreVoteReply{Header: h, Granted: true},
		&raft.RequestVote{Header: h, LastIndex: 4, LastTerm: 5, Campaign: 6, Transfer: true},
		&raft.RequestVoteReply{Header: h, Campaign: 6, Granted: true},
		&raft.AppendEntries{Header: h, PrevIndex: 4, PrevTerm: 5, Commit: 6, Round: 7, Entries: []raft.Entry{
			{Term: 8, Index: 9, Kind: raft.EntryNoop},
			{Term: 10, Index: 11, Kind: raft.EntryCommand, Data: []byte("data")},
			{Term: 12, Index: 13, Kind: raft.EntryConfiguration, Data: []byte{1}},
		}},
		&raft.AppendEntriesReply{Header: h, Match: 4, Round: 5, Silence: 6},
		&raft.AppendEntriesReject{Header: h, PrevIndex: 4, ConflictTerm: 5, ConflictIndex: 6, Round: 7},
		&raft.InstallSnapshot{Header: h, Meta: raft.SnapshotMeta{Index: 4, Term: 5, Configuration: raft.Configuration{
			Voters: quorum.Joint{Incoming: quorum.Majority{1, 2}, Outgoing: quorum.Majority{3}}, Learners: []raft.NodeID{6},
		}}},
		&raft.TimeoutNow{Header: h},
		&raft.ReadIndex{Header: h, ID: 4},
		&raft.ReadIndexReply{Header: h, ID: 4, Index: 5},
		&raft.LogLost{Header: h, Match: 4},
		&raft.StateHash{Header: h, Index: 4, Known: true, Hash: 5},
	}
}

// The layouts are what nodes of different builds have in common. A changed line
// here needs a new kind of frame or a new major version.
func TestLayoutsStayAsTheyAre(t *testing.T) {
	const golden = "testdata/layouts.txt"
	var got strings.Builder
	for _, m := range examples() {
		fmt.Fprintf(&got, "%d %s %s\n", m.Kind(), m.Kind(), hex.EncodeToString(AppendMessage(nil, m)))
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%s would be\n%s", golden, got.String())
	}
}

func TestEveryKindHasAnExample(t *testing.T) {
	for i, m := range examples() {
		if m.Kind() != kinds[i] {
			t.Errorf("example %d is a %s", i, m.Kind())
		}
		v := reflect.ValueOf(m).Elem()
		for j := range v.NumField() {
			if v.Field(j).IsZero() {
				t.Errorf("%s.%s is zero", m.Kind(), v.Type().Field(j).Name)
			}
		}
	}
	if next := raft.MessageKind(len(kinds) + 1); newMessage(next) != nil || !strings.Contains(next.String(), "(") {
		t.Errorf("%s is not tested", next)
	}
}

// anyMessage draws a message by filling in the fields of its type, whatever they are.
func anyMessage(t *rapid.T) raft.Message {
	m := newMessage(rapid.SampledFrom(kinds).Draw(t, "kind"))
	fill(t, reflect.ValueOf(m).Elem())
	return m
}

func fill(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Slice:
		if n := rapid.IntRange(0, 5).Draw(t, "length"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i))
			}
			if voters, ok := v.Interface().(quorum.Majority); ok { // these are sets
				v.Set(reflect.ValueOf(quorum.NewMajority(voters...)))
			}
		}
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "number"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.IntRange(0, int(raft.EntryConfiguration)).Draw(t, "byte")))
	default:
		panic("no generator for " + v.Type().String())
	}
}

func TestDecodeIsTheInverseOfEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		b := AppendMessage([]byte("before"), m)[len("before"):]
		got, err := DecodeMessage(m.Kind(), b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%v became %v, %v", m, got, err)
		}
	})
}

func TestDecodeRefusesWhatIsCutOrTooLong(t *testing.T) {
	for _, m := range examples() {
		b := AppendMessage(nil, m)
		for n := range b {
			if _, err := DecodeMessage(m.Kind(), b[:n]); err == nil {
				t.Errorf("%s of %d bytes was decoded from %d", m.Kind(), len(b), n)
			}
		}
		if _, err := DecodeMessage(m.Kind(), append(b, 0)); err == nil {
			t.Errorf("%s was decoded with a byte too many", m.Kind())
		}
	}
}

func TestDecodeAllocatesLittleForBigClaims(t *testing.T) {
	m := &raft.AppendEntries{}
	b := AppendMessage(nil, m)
	b[len(b)-1] = 0xff // the number of entries, from here on
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := DecodeMessage(m.Kind(), b); err == nil {
		t.Error("decoded")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Errorf("allocated %d bytes", n)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range examples() {
		f.Add(byte(m.Kind()), AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		m, err := DecodeMessage(raft.MessageKind(kind), b)
		if err != nil {
			return
		}
		again, err := DecodeMessage(m.Kind(), AppendMessage(nil, m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%v became %v, %v", m, again, err)
		}
	})
}

func FuzzDecodeHello(f *testing.F) {
	h := hello{purpose: forSnapshot, to: 2, from: identity{group: 3, id: 1, name: []byte("n"), card: []byte("c"), attributes: []byte("a")}}
	c := coder{encoding: true}
	c.hello(&h)
	f.Add(c.buf)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again hello
		d := coder{buf: b}
		if d.hello(&h); d.end() != nil {
			return
		}
		e := coder{encoding: true}
		e.hello(&h)
		d = coder{buf: e.buf}
		if d.hello(&again); d.end() != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%v became %v, %v", h, again, d.err)
		}
	})
}

func benchmarkAppend(entries, size int) *raft.AppendEntries {
	m := &raft.AppendEntries{Header: raft.Header{From: 1, To: 2, Term: 7}, PrevIndex: 1e6, PrevTerm: 7, Commit: 1e6, Round: 1e5}
	for i := range entries {
		m.Entries = append(m.Entries, raft.Entry{Term: 7, Index: raft.Index(1e6 + 1 + i), Kind: raft.EntryCommand, Data: make([]byte, size)})
	}
	return m
}
