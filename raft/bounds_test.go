package raft

import "testing"

// A follower whose disk hangs hears from a leader, and from candidates, for ever. What it
// wants to answer waits for the disk, and must not grow.
func TestAnswersThatWaitForTheDiskAreBounded(t *testing.T) {
	r := newCore(t, 1, 3, State{})
	for i := range 10_000 {
		from := Header{From: 2, To: 1, Term: 5}
		step(t, r, &AppendEntries{Header: from, Round: Round(i + 1)})
		step(t, r, &PreVote{Header: Header{From: 3, To: 1, Term: 4}})
		step(t, r, &RequestVote{Header: Header{From: 3, To: 1, Term: 4}})
		step(t, r, &AppendEntries{Header: Header{From: 3, To: 1, Term: 4}})
		r.Tick(0)
		r.Effects()
	}
	if n := len(r.held); n > 4 {
		t.Fatalf("%d messages are held", n)
	}
	r.Persisted(r.seq)
	for _, m := range r.Effects().Messages {
		if reply, ok := m.(*AppendEntriesReply); ok && reply.Round != 10_000 {
			t.Errorf("%s instead of the newest round", reply)
		}
	}
}
