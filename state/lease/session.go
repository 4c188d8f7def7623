package lease

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// outcomeOverhead is what an outcome counts for beside its result.
const outcomeOverhead = 64

// session is what a lease that is a session has beside. Like a page it belongs to the table whose
// generation it has.
type session struct {
	generation uint64
	sum        uint64 // of the hashes of floor and outcomes
	bytes      uint64 // of all outcomes, each with its overhead
	// floor is the highest sequence number that is forgotten: nothing up to it is executed.
	floor    uint64
	outcomes []outcome // by seq, all above floor
}

type outcome struct {
	seq uint64
	Outcome
}

// Outcome is what a command of a session came to.
type Outcome struct {
	// Revision is that of the store after the command.
	Revision uint64
	// Code is the short form of the result, which is kept as long as the outcome. What it means
	// is the caller's affair. 0: it is not known, since a program of before has kept none.
	Code byte
	// Whole tells whether Result is what the command returned. Otherwise the result was too
	// large to be kept, and nothing but Revision and Code is known of it any more.
	Whole  bool
	Result []byte
}

// SessionSeq names a command of a session. All copies of the command have the same ID and Seq. The
// zero value is no session.
type SessionSeq struct {
	ID int64 // of the session's lease
	// Seq is the number of the command, from 1 on. A client gives no number to two commands.
	Seq uint64
	// Acked says that the client has the outcomes of all commands up to it, and sends none of
	// them again. It is below Seq.
	Acked uint64
}

// Verdict says what to do with a command of a session.
type Verdict uint8

const (
	// Unknown: the session has ended, or has forgotten the command. It may have been executed or
	// not, and is not executed now.
	Unknown Verdict = iota
	// Execute: the command has not been executed. Finish tells what came of it.
	Execute
	// Replay: the command was executed before, and this is its outcome.
	Replay
)

// Begin decides what to do with a command. It drops the outcomes up to a.Acked. The result in the
// outcome belongs to the table.
//
// The rules are there because a command may be in the log any number of times, at any distance.
// What would go wrong without each:
//
//  1. Forgotten means never executed. A client sends command 5 twice. The first copy is executed;
//     its outcome is dropped, because the client has it (Acked) or for lack of room. The second
//     copy comes late. If the table went by the outcomes alone, it would execute the command again.
//     So floor rises to the number of each outcome that is dropped.
//  2. The lowest number is dropped first. If 7 were dropped and 6 kept, floor could not say so.
//     A command below floor that was never executed is refused, too: it cannot be told from one
//     whose outcome was dropped. The client is told that the fate is not known.
//  3. A refusal promises nothing. Command 2000 is beyond the window, say, and refused as certainly
//     not executed. The client then confirms what is before it, and a second copy of 2000 that was
//     on its way would be executed. So the window moves with the highest number instead, and what
//     falls out of it is forgotten.
//  4. The id of a session is never used again. Session 7 ends; another session 7 begins, with
//     floor 0. A late copy of command 1 of the first would be executed in the second.
//     So ids are drawn at random, and a client that asks for a session again, without the answer to its
//     first request, asks for one with another id: the first request may be executed, and the session end,
//     before the second arrives.
//  5. A refusal is an outcome. A Txn whose compare fails is remembered like one that succeeds;
//     otherwise its second copy could succeed.
//  6. An outcome outlives its result. To make room the results go first. Revision and code stay:
//     the revision is enough not to execute again, and the code tells the client mostly all that
//     it needs.
func (t *Table) Begin(a SessionSeq) (Verdict, Outcome) {
	slot, ok := t.index[a.ID]
	if !ok {
		return Unknown, Outcome{}
	}
	s := t.record(slot).session
	if s == nil || a.Seq <= s.floor || a.Seq <= a.Acked {
		return Unknown, Outcome{}
	}
	verdict, found := Execute, Outcome{}
	if at, ok := s.find(a.Seq); ok {
		verdict, found = Replay, s.outcomes[at].Outcome
	}
	if floor := max(a.Acked, a.Seq-min(a.Seq, uint64(t.limits.Window))); floor > s.floor {
		t.forget(slot, floor)
	}
	return verdict, found
}

// Finish remembers the outcome of a command for which Begin said Execute. It keeps a copy of
// result, or only revision and code where the limits say so. If the session has ended meanwhile,
// by the command itself, nothing is kept.
func (t *Table) Finish(a SessionSeq, revision uint64, code byte, result []byte) {
	slot, ok := t.index[a.ID]
	if !ok || t.record(slot).session == nil {
		return
	}
	s := t.ownSession(slot)
	at, found := s.find(a.Seq)
	if found || a.Seq <= s.floor || a.Seq-s.floor > uint64(t.limits.Window) { // no Begin said Execute
		return
	}
	o := outcome{a.Seq, Outcome{Revision: revision, Code: code}}
	if len(result) <= int(t.limits.OutcomeBytes) {
		o.Whole, o.Result = true, bytes.Clone(result)
	}
	s.outcomes = slices.Insert(s.outcomes, at, o)
	t.count(a.ID, s, o, 1)
	t.makeRoom(slot, s)
}

// makeRoom keeps the outcomes of a session that has a new one within the limits. Within those of
// the session there is room for a whole window without results. Where all sessions together have
// too much, this one keeps no result, and in the end only its latest outcome, without result: so
// other sessions cannot take from it what a client needs that sends one command at a time.
func (t *Table) makeRoom(slot uint32, s *session) {
	tooMuch := func() bool {
		return s.bytes > uint64(t.limits.SessionBytes) || t.outcomeBytes > t.limits.AllOutcomeBytes
	}
	id := t.record(slot).id
	for i := 0; i < len(s.outcomes) && tooMuch(); i++ {
		if o := &s.outcomes[i]; len(o.Result) > 0 {
			t.count(id, s, *o, -1)
			o.Whole, o.Result = false, nil
			t.count(id, s, *o, 1)
		}
	}
	drop := 0
	for freed := uint64(0); drop < len(s.outcomes)-1 && t.outcomeBytes-freed > t.limits.AllOutcomeBytes; drop++ {
		freed += s.outcomes[drop].size()
	}
	if drop > 0 {
		t.forget(slot, s.outcomes[drop-1].seq)
	}
}

// forget raises the floor of a session and drops the outcomes up to it.
func (t *Table) forget(slot uint32, floor uint64) {
	s := t.ownSession(slot)
	id := t.record(slot).id
	n := 0
	for n < len(s.outcomes) && s.outcomes[n].seq <= floor {
		t.count(id, s, s.outcomes[n], -1)
		n++
	}
	clear(s.outcomes[:n]) // frees the results
	s.outcomes = s.outcomes[n:]
	t.sum -= s.floorHash(id)
	s.sum -= s.floorHash(id)
	s.floor = floor
	s.sum += s.floorHash(id)
	t.sum += s.floorHash(id)
}

// EndSessions makes plain leases of all sessions, with the keys and the time that they have: what
// a client sends for one of them from now on is refused. A restore from a backup does so, because
// the state goes back there: a command that was executed after the backup would be executed again.
func (t *Table) EndSessions() {
	for slot := range t.slots {
		r := t.record(slot)
		if r.session == nil {
			continue
		}
		r = t.own(slot)
		t.sum -= r.hash() + r.session.sum
		t.outcomeBytes -= r.session.bytes
		t.sessions--
		r.session = nil
		t.sum += r.hash()
	}
}

// count adds an outcome that is now in s to the sums, or takes one from them.
func (t *Table) count(id int64, s *session, o outcome, sign int64) {
	hash, size := uint64(sign)*o.hash(id), uint64(sign)*o.size()
	s.sum += hash
	t.sum += hash
	s.bytes += size
	t.outcomeBytes += size
}

// ownSession returns the session of a lease to be changed.
func (t *Table) ownSession(slot uint32) *session {
	s := t.record(slot).session
	if s.generation == t.generation {
		return s
	}
	c := *s
	c.generation = t.generation
	c.outcomes = slices.Clone(s.outcomes)
	t.own(slot).session = &c
	return &c
}

func (s *session) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(s.outcomes, seq, func(o outcome, seq uint64) int { return cmp.Compare(o.seq, seq) })
}

func (s *session) floorHash(id int64) uint64 { return mix(hashFloor, uint64(id), s.floor, 0, 0) }

func (o *outcome) hash(id int64) uint64 {
	kind := uint64(hashShortOutcome)
	if o.Whole {
		kind = hashOutcome
	}
	kind |= uint64(o.Code) << 8
	return mix(kind, uint64(id), o.seq, o.Revision, xxhash.Sum64(o.Result))
}

func (o *outcome) size() uint64 { return uint64(len(o.Result)) + outcomeOverhead }
