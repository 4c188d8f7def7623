package raft

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// hostile makes messages of peers with a fault: each can be encoded, and any number in it may be wrong.
type hostile struct {
	rand *rand.Rand
	r    *Raft
}

func (h hostile) index() Index {
	switch h.rand.IntN(10) {
	case 0:
		return math.MaxUint64 - Index(h.rand.IntN(2))
	case 1:
		return 0
	default:
		return Index(h.rand.IntN(int(h.r.log.last()) + 3))
	}
}

func (h hostile) term() Term {
	switch h.rand.IntN(60) {
	case 0:
		return math.MaxUint64
	case 1:
		return h.r.term + 1
	case 2:
		return Term(h.rand.IntN(int(min(h.r.term, 1000)) + 1))
	default:
		return h.r.term
	}
}

func (h hostile) round() Round {
	if h.rand.IntN(200) == 0 {
		return math.MaxUint64
	}
	return Round(h.rand.IntN(int(min(h.r.Round(), 100)) + 1))
}

func (h hostile) configuration() Configuration {
	if h.rand.IntN(3) == 0 {
		return Configuration{}
	}
	return NewConfiguration([]NodeID{1, 2, 3, 4}[:1+h.rand.IntN(4)]...)
}

func (h hostile) entries(prev Index) (es []Entry) {
	next := prev + 1
	for range h.rand.IntN(4) {
		e := Entry{Term: h.term(), Index: next, Kind: EntryKind(h.rand.IntN(int(numEntryKinds))), Data: []byte("x")}
		if h.rand.IntN(8) == 0 {
			e.Index = h.index()
		}
		if e.Kind == EntryConfiguration && h.rand.IntN(2) == 0 {
			e.Data = AppendConfiguration(nil, h.configuration())
		}
		es, next = append(es, e), e.Index+1
	}
	return es
}

func (h hostile) message() Message {
	head := Header{From: NodeID(2 + h.rand.IntN(2)), To: h.r.id, Term: h.term()}
	yes := h.rand.IntN(2) == 0
	kind := MessageKind(1 + h.rand.IntN(numMessageKinds-1))
	if kind == KindAppendEntries || kind == KindInstallSnapshot {
		head.From = 2 // the only one that claims to lead
		if h.r.role == Leader && head.Term == h.r.term {
			kind = KindAppendEntriesReply
		}
	}
	switch kind {
	case KindPreVote:
		return &PreVote{Header: head, LastIndex: h.index(), LastTerm: h.term()}
	case KindPreVoteReply:
		return &PreVoteReply{Header: head, Granted: yes}
	case KindRequestVote:
		return &RequestVote{Header: head, LastIndex: h.index(), LastTerm: h.term(), Campaign: h.r.campaign, Transfer: yes}
	case KindRequestVoteReply:
		return &RequestVoteReply{Header: head, Campaign: h.r.campaign, Granted: yes}
	case KindAppendEntries:
		prev := h.index()
		return &AppendEntries{Header: head, PrevIndex: prev, PrevTerm: h.term(), Entries: h.entries(prev), Commit: h.index(), Round: h.round()}
	case KindAppendEntriesReply:
		return &AppendEntriesReply{Header: head, Match: h.index(), Round: h.round(), LeaseGrant: Nanos(h.index())}
	case KindAppendEntriesReject:
		return &AppendEntriesReject{Header: head, PrevIndex: h.index(), ConflictTerm: h.term() * Term(h.rand.IntN(2)), ConflictIndex: h.index(), Round: h.round()}
	case KindInstallSnapshot:
		return &InstallSnapshot{Header: head, Meta: SnapshotMeta{Index: h.index(), Term: h.term(), Configuration: h.configuration()}}
	case KindTimeoutNow:
		return &TimeoutNow{Header: head}
	case KindReadIndex:
		return &ReadIndex{Header: head, ID: ReadID(h.index())}
	case KindReadIndexReply:
		return &ReadIndexReply{Header: head, ID: h.r.nextReadID - 1, Index: h.index()}
	case KindLogLost:
		return &LogLost{Header: head, Match: h.index() * Index(h.rand.IntN(2))}
	case KindRelease:
		return &Release{Header: head, Index: h.index()}
	case KindReleaseReply:
		return &ReleaseReply{Header: head, Full: yes}
	}
	return &StateHash{Header: head}
}

// run lets messages come to a node between the other events, and returns what it panics with.
func (h hostile) run(t *testing.T) (broken string) {
	defer func() {
		if p := recover(); p != nil {
			broken = fmt.Sprint(p)
		}
	}()
	if h.rand.IntN(2) == 0 {
		elect(t, h.r)
	}
	for range 300 {
		switch h.rand.IntN(8) {
		case 0:
			h.r.Tick(0)
		case 1:
			h.r.Propose([]byte("y"))
		case 2:
			h.r.ReadIndex(0, ReadByIndex)
		case 3:
			settle(h.r)
		case 4:
			h.r.Compact(min(h.r.applied, h.r.log.stable))
		default:
			h.r.Step(h.message())
		}
	}
	return ""
}

// A message that no node can have sent must not end the node that gets it. What contradicts that node's own
// state may: an acknowledgement of a round that it has not begun, a leader with two logs, or with other members.
func TestHostilePeersEndNoNode(t *testing.T) {
	contradictions := []string{"acknowledges round", "cannot follow", "the log equals the leader's"}
	ended, seeds := 0, 2000
	for seed := range seeds {
		h := hostile{rand.New(rand.NewPCG(uint64(seed), 1)), newCore(t, 1, 3, State{})}
		why := h.run(t)
		switch {
		case slices.ContainsFunc(contradictions, func(c string) bool { return strings.Contains(why, c) }):
			ended++
		case why != "":
			t.Errorf("seed %d: %s", seed, why)
		}
	}
	if ended > seeds/20 {
		t.Errorf("%d of %d nodes ended for a contradiction, so that little else was tried", ended, seeds)
	}
}

// What is refused has no effect, and the sender is named.
func TestMalformedMessagesAreRefused(t *testing.T) {
	from := Header{From: 2, To: 1, Term: 5}
	entry := func(term Term, index Index) Entry { return Entry{Term: term, Index: index, Kind: EntryCommand} }
	three := NewConfiguration(1, 2, 3)
	for name, m := range map[string]Message{
		"a gap between entries":           &AppendEntries{Header: from, Entries: []Entry{entry(5, 1), entry(5, 3)}},
		"a gap before the first":          &AppendEntries{Header: from, Entries: []Entry{entry(5, 2)}},
		"terms that fall":                 &AppendEntries{Header: from, Entries: []Entry{entry(5, 1), entry(4, 2)}},
		"an entry of a later term":        &AppendEntries{Header: from, Entries: []Entry{entry(6, 1)}},
		"a previous term that is later":   &AppendEntries{Header: from, PrevTerm: 6, PrevIndex: 1},
		"a configuration without voters":  &AppendEntries{Header: from, Entries: []Entry{{Term: 5, Index: 1, Kind: EntryConfiguration, Data: AppendConfiguration(nil, Configuration{})}}},
		"a configuration that is cut off": &AppendEntries{Header: from, Entries: []Entry{{Term: 5, Index: 1, Kind: EntryConfiguration, Data: []byte{9}}}},
		"a snapshot of a later term":      &InstallSnapshot{Header: from, Meta: SnapshotMeta{Index: 9, Term: 6, Configuration: three}},
		"a snapshot without voters":       &InstallSnapshot{Header: from, Meta: SnapshotMeta{Index: 9, Term: 5}},
		"a snapshot at the end of time":   &InstallSnapshot{Header: from, Meta: SnapshotMeta{Index: math.MaxUint64, Term: 5, Configuration: three}},
		"the last term":                   &PreVote{Header: Header{From: 2, To: 1, Term: math.MaxUint64}},
	} {
		r := newCore(t, 1, 3, State{})
		settle(r)
		if err := r.Step(m); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "n2->n1 "+m.Kind().String()) {
			t.Errorf("%s: %v", name, err)
		}
		if e := r.Effects(); r.term != 0 || !e.Empty() {
			t.Errorf("%s: term %d, effects %+v", name, r.term, e)
		}
	}
}
