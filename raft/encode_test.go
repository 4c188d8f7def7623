package raft

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"balsa.example/raft/quorum"
)

var entries = []Entry{
	{},
	{Term: 1, Index: 1, Kind: EntryNoop},
	{Term: 3, Index: 300, Kind: EntryCommand, Data: []byte("x")},
	{Term: 1 << 40, Index: 1 << 50, Kind: EntryCommand, Data: bytes.Repeat([]byte{0xff}, 1000)},
	{Term: math.MaxUint64, Index: math.MaxUint64, Kind: EntryConfiguration, Data: AppendConfiguration(nil, configurationsToEncode[3])},
}

var configurationsToEncode = []Configuration{
	{},
	NewConfiguration(1, 2, 3),
	{Voters: quorum.Joint{Incoming: quorum.NewMajority(1), Outgoing: quorum.NewMajority(2, 3)}},
	{Voters: quorum.Joint{Incoming: quorum.NewMajority(1, math.MaxUint64)}, Learners: []NodeID{7, 8}},
}

func TestEntriesComeBack(t *testing.T) {
	var b []byte
	for _, e := range entries {
		b = AppendEntry(b, e)
	}
	for _, want := range entries {
		var got Entry
		var err error
		got, b, err = DecodeEntry(b)
		if err != nil || !sameEntry(got, want) {
			t.Errorf("%v came back as %v, %v", want, got, err)
		}
	}
	if len(b) > 0 {
		t.Errorf("%d bytes are left", len(b))
	}
}

func TestSnapshotMetasComeBack(t *testing.T) {
	for _, c := range configurationsToEncode {
		want := SnapshotMeta{Index: 12, Term: 1 << 33, Configuration: c}
		got, rest, err := DecodeSnapshotMeta(append(AppendSnapshotMeta(nil, want), "rest"...))
		if err != nil || string(rest) != "rest" {
			t.Errorf("%v: %q is left, %v", want, rest, err)
		}
		if got.Index != want.Index || got.Term != want.Term || !got.Configuration.Equal(c) {
			t.Errorf("%v came back as %v", want, got)
		}
	}
}

// Whatever is cut off is missed, and nothing panics.
func TestTruncatedEncodingsAreRefused(t *testing.T) {
	for _, e := range entries {
		whole := AppendEntry(nil, e)
		for n := range whole {
			if got, _, err := DecodeEntry(whole[:n]); err == nil {
				t.Errorf("%d of %d bytes give %v", n, len(whole), got)
			}
		}
	}
	for _, c := range configurationsToEncode {
		whole := AppendSnapshotMeta(nil, SnapshotMeta{Index: 300, Term: 300, Configuration: c})
		for n := range whole {
			if got, _, err := DecodeSnapshotMeta(whole[:n]); !errors.Is(err, errTruncated) {
				t.Errorf("%d of %d bytes give %v, %v", n, len(whole), got, err)
			}
		}
	}
}

func TestUnknownEntryKindIsRefused(t *testing.T) {
	b := AppendEntry(nil, Entry{Term: 1, Index: 1, Kind: numEntryKinds})
	if e, _, err := DecodeEntry(b); err == nil {
		t.Errorf("decoded as %v", e)
	}
}

// A length that promises more than there is must not make the decoder allocate it.
func TestHugeLengthsAreRefused(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}
	if _, _, err := DecodeConfiguration(huge); !errors.Is(err, errTruncated) {
		t.Errorf("a configuration of 2^64 voters: %v", err)
	}
	if _, _, err := DecodeEntry(append([]byte{byte(EntryCommand), 1, 1}, huge...)); !errors.Is(err, errTruncated) {
		t.Errorf("an entry of 2^64 bytes: %v", err)
	}
}

func TestDecodedVotersAreASet(t *testing.T) {
	c, _, err := DecodeConfiguration([]byte{4, 3, 1, 3, 2, 0, 0})
	if err != nil || !slices.Equal(c.Voters.Incoming, quorum.Majority{1, 2, 3}) {
		t.Errorf("voters 3 1 3 2 became %v, %v", c.Voters, err)
	}
}

func sameEntry(a, b Entry) bool {
	return a.Term == b.Term && a.Index == b.Index && a.Kind == b.Kind && bytes.Equal(a.Data, b.Data)
}

// What can be decoded, encodes and decodes to the same again. (The bytes may differ:
// a varint can be written with more digits than it needs.)
func FuzzDecodeEntry(f *testing.F) {
	for _, e := range entries {
		f.Add(AppendEntry(nil, e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := DecodeEntry(b)
		if err != nil {
			return
		}
		if len(e.Data)+len(rest) > len(b) || !bytes.HasSuffix(b, rest) {
			t.Fatalf("%d bytes of data and %d of rest from %d", len(e.Data), len(rest), len(b))
		}
		again, rest, err := DecodeEntry(AppendEntry(nil, e))
		if err != nil || len(rest) > 0 || !sameEntry(e, again) {
			t.Fatalf("%v came back as %v with %d bytes left, %v", e, again, len(rest), err)
		}
	})
}

func FuzzDecodeSnapshotMeta(f *testing.F) {
	for _, c := range configurationsToEncode {
		f.Add(AppendSnapshotMeta(nil, SnapshotMeta{Index: 5, Term: 2, Configuration: c}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, err := DecodeSnapshotMeta(b)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b, rest) {
			t.Fatalf("rest %x is not the end of %x", rest, b)
		}
		if ids := m.Configuration.Members(); len(ids) > len(b) {
			t.Fatalf("%d members from %d bytes", len(ids), len(b))
		}
		again, rest, err := DecodeSnapshotMeta(AppendSnapshotMeta(nil, m))
		if err != nil || len(rest) > 0 || again.Index != m.Index || again.Term != m.Term || !again.Configuration.Equal(m.Configuration) {
			t.Fatalf("%v came back as %v with %d bytes left, %v", m, again, len(rest), err)
		}
	})
}

func TestMembersAreSortedAndEachOnce(t *testing.T) {
	c := Configuration{
		Voters:   quorum.Joint{Incoming: quorum.NewMajority(5, 1), Outgoing: quorum.NewMajority(1, 4)},
		Learners: []NodeID{9, 2},
	}
	if got := c.Members(); !slices.Equal(got, []NodeID{1, 2, 4, 5, 9}) {
		t.Errorf("members %v", got)
	}
}
