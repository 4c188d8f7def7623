package raft

import (
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"balsa.example/raft/quorum"

	"pgregory.net/rapid"
)

var messageKinds = []MessageKind{
	KindPreVote, KindPreVoteReply, KindRequestVote, KindRequestVoteReply,
	KindAppendEntries, KindAppendEntriesReply, KindAppendEntriesReject,
	KindInstallSnapshot, KindTimeoutNow, KindReadIndex, KindReadIndexReply, KindLogLost,
	KindStateHash, KindPropose, KindProposeReply, KindRelease, KindReleaseReply,
}

// exampleMessages has one message of each kind, with no field at its zero value and no
// two fields alike.
func exampleMessages() []Message {
	h := Header{From: 1, To: 2, Term: 300}
	return []Message{
		&PreVote{Header: h, LastIndex: 4, LastTerm: 5},
		&PreVoteReply{Header: h, Granted: true},
		&RequestVote{Header: h, LastIndex: 4, LastTerm: 5, Campaign: 6, Transfer: true},
		&RequestVoteReply{Header: h, Campaign: 6, Granted: true},
		&AppendEntries{Header: h, PrevIndex: 4, PrevTerm: 5, Commit: 6, Round: 7, Entries: []Entry{
			{Term: 8, Index: 9, Kind: EntryNoop},
			{Term: 10, Index: 11, Kind: EntryCommand, Data: []byte("data")},
			{Term: 12, Index: 13, Kind: EntryConfiguration, Data: []byte{1}},
		}},
		&AppendEntriesReply{Header: h, Match: 4, Round: 5, LeaseGrant: 6},
		&AppendEntriesReject{Header: h, PrevIndex: 4, ConflictTerm: 5, ConflictIndex: 6, Round: 7},
		&InstallSnapshot{Header: h, Meta: SnapshotMeta{Index: 4, Term: 5, Configuration: Configuration{
			Voters: quorum.Joint{Incoming: quorum.Majority{1, 2}, Outgoing: quorum.Majority{3}}, Learners: []NodeID{6},
		}}, Stream: 7, Offset: 8},
		&TimeoutNow{Header: h},
		&ReadIndex{Header: h, ID: 4},
		&ReadIndexReply{Header: h, ID: 4, Index: 5},
		&LogLost{Header: h, Match: 4},
		&StateHash{Header: h, Index: 4, Known: true, Hash: 5},
		&Propose{Header: h, ID: 4, Round: 5, Data: []byte("data")},
		&ProposeReply{Header: h, ID: 4, Index: 5, Refusal: RefusedBusy},
		&Release{Header: h, Index: 4},
		&ReleaseReply{Header: h, Full: true},
	}
}

// The layouts are what nodes of different builds have in common. A changed line
// here needs a new MessageKind, or a new major version of the wire.
func TestLayoutsStayAsTheyAre(t *testing.T) {
	const golden = "testdata/message_layouts.txt"
	var got strings.Builder
	for _, m := range exampleMessages() {
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
	for i, m := range exampleMessages() {
		if m.Kind() != messageKinds[i] {
			t.Errorf("example %d is a %s", i, m.Kind())
		}
		v := reflect.ValueOf(m).Elem()
		for j := range v.NumField() {
			if v.Field(j).IsZero() {
				t.Errorf("%s.%s is zero", m.Kind(), v.Type().Field(j).Name)
			}
		}
	}
	if next := MessageKind(len(messageKinds) + 1); newMessage(next) != nil || !strings.Contains(next.String(), "(") {
		t.Errorf("%s is not tested", next)
	}
}

// anyMessage draws a message by filling in the fields of its type, whatever they are.
func anyMessage(t *rapid.T) Message {
	m := newMessage(rapid.SampledFrom(messageKinds).Draw(t, "kind"))
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
		v.SetUint(uint64(rapid.IntRange(0, int(numEntryKinds)-1).Draw(t, "byte")))
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
	for _, m := range exampleMessages() {
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
	m := &AppendEntries{}
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
	for _, m := range exampleMessages() {
		f.Add(byte(m.Kind()), AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		m, err := DecodeMessage(MessageKind(kind), b)
		if err != nil {
			return
		}
		again, err := DecodeMessage(m.Kind(), AppendMessage(nil, m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%v became %v, %v", m, again, err)
		}
	})
}
