package kv

import (
	"fmt"
	"testing"
)

// published counts what it is told.
type published struct {
	Publisher
	revisions []uint64
	events    []int
}

func (p *published) Active() bool { return true }

func (p *published) Publish(revision uint64, events []Event) {
	p.revisions, p.events = append(p.revisions, revision), append(p.events, len(events))
}

// The events of a revision are held until it is executed. There is a bound on that: of a revision with more of them the
// publisher is told without any.
func TestEventsOfARevisionAreBounded(t *testing.T) {
	s := filledStore(t, 0)
	for i := range maxEvents + 1 {
		s.DoOp(Op{Kind: Put, Key: fmt.Sprintf("key %06d", i), Unconditional: true}, 0)
	}
	p := new(published)
	s.PublishTo(p)
	all := &Txn{Then: []TxnOp{{Delete: &DeleteOp{Span: Prefix("key")}}}}
	s.DoOp(Op{Kind: Put, Key: "other", Unconditional: true}, 0)
	if r, err := s.Txn(all, 0); err != nil || r.Responses[0].Delete.Deleted != maxEvents+1 {
		t.Fatal(r.Code, err)
	}
	for i := range maxEvents {
		s.DoOp(Op{Kind: Put, Key: fmt.Sprintf("key %06d", i), Unconditional: true}, 0)
	}
	if r, err := s.Txn(all, 0); err != nil || r.Responses[0].Delete.Deleted != maxEvents {
		t.Fatal(r.Code, err)
	}
	last := len(p.events) - 1
	if p.events[0] != 1 || p.events[1] != 0 || p.events[last] != maxEvents || p.revisions[1] != p.revisions[0]+1 {
		t.Errorf("%d, %d and %d events, want 1, 0 and %d", p.events[0], p.events[1], p.events[last], maxEvents)
	}
}
