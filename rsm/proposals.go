//balsa:pure

package rsm

import "balsa.example/raft"

// proposals are the operations that other replicas have forwarded to this one in a term that
// it led, so that each is proposed at most once:
//
//   - A Propose names a term, and only the leader of that term proposes it. A node leads a
//     term once: it does not come back after it stepped down, and not after a restart. So a
//     memory of the latest term that was led is enough.
//   - A Propose is named by its sender and its ID. A copy of one that is known gets the
//     answer that the first got.
//   - Old names are forgotten, in generations. A Propose carries the latest round of the
//     leader that its sender had seen. So a Propose that arrived before a generation began
//     carries at most the round that the leader was at then. One with so old a round may be
//     a copy of a Propose that was forgotten, and is neither proposed nor answered.
//
// To be refused as well is an answer that is remembered: a copy must not be proposed after
// its sender was told that the operation never will be.
type proposals struct {
	term raft.Term // the latest that this replica has led since its start
	// recent and older are the two latest generations, by name.
	recent, older map[proposalName]proposalAnswer
	recentSince   raft.Round // where the leader was when recent began
	oldestRound   raft.Round // a Propose of an earlier round may have been forgotten
	ticks         int        // since recent began
}

type proposalName struct {
	from raft.NodeID
	id   raft.ProposalID
}

type proposalAnswer struct {
	index   raft.Index
	refusal raft.Refusal
}

// maxProposals bounds a generation. A generation is also over after proposalTimeouts election
// timeouts: no sender asks for longer.
const (
	maxProposals     = 1 << 16
	proposalTimeouts = forwardTimeouts
)

// find returns the answer that the first copy of m got.
func (p *proposals) find(m *raft.Propose) (a proposalAnswer, known bool) {
	name := proposalName{m.From, m.ID}
	if a, known = p.recent[name]; !known {
		a, known = p.older[name]
	}
	return a, known
}

// mayBeForgotten tells whether an earlier copy of m, which is not known, may have been.
func (p *proposals) mayBeForgotten(m *raft.Propose) bool { return m.Round < p.oldestRound }

// begin begins a new generation. round is where the leader is.
func (p *proposals) begin(round raft.Round) {
	if len(p.older) > 0 {
		p.oldestRound = p.recentSince + 1
	}
	p.older, p.recent, p.recentSince, p.ticks = p.recent, map[proposalName]proposalAnswer{}, round, 0
}

// noteLeadership begins anew in a term that this replica has begun to lead.
func (r *Replica[W]) noteLeadership() {
	if term := r.core.Term(); r.core.Role() == raft.Leader && r.proposals.term != term {
		r.proposals = proposals{term: term, recent: map[proposalName]proposalAnswer{}, recentSince: r.core.Round()}
	}
}

// tickProposals ends a generation that is over.
func (r *Replica[W]) tickProposals() {
	p := &r.proposals
	if r.core.Role() != raft.Leader {
		return
	}
	if p.ticks++; p.ticks >= proposalTimeouts*r.core.ElectionTimeoutTicks() {
		p.begin(r.core.Round())
	}
}

// onPropose proposes an operation that another replica has forwarded.
func (r *Replica[W]) onPropose(m *raft.Propose) {
	p := &r.proposals
	if m.Term != p.term {
		return // of what was proposed in earlier terms nothing is remembered
	}
	answer, known := p.find(m)
	leads := r.core.Role() == raft.Leader && r.core.Term() == m.Term
	switch {
	case known:
	case p.mayBeForgotten(m):
		return
	case !leads: // it never leads that term again
		answer.refusal = raft.RefusedNotLeader
	case !r.roomForProposal():
		return
	default:
		answer = r.propose(m.Data)
		p.recent[proposalName{m.From, m.ID}] = answer
	}
	r.replies = append(r.replies, &raft.ProposeReply{
		Header: raft.Header{From: r.id, To: m.From, Term: m.Term}, ID: m.ID, Index: answer.index, Refusal: answer.refusal,
	})
}

// roomForProposal makes room for one more name. A generation that is full is over, if those
// who ask know of a new round since it began.
func (r *Replica[W]) roomForProposal() bool {
	p := &r.proposals
	if len(p.recent) >= maxProposals && r.core.Round() > p.recentSince {
		p.begin(r.core.Round())
	}
	return len(p.recent) < maxProposals
}

func (r *Replica[W]) propose(data []byte) proposalAnswer {
	if r.comparison.alarm {
		return proposalAnswer{refusal: raft.RefusedAlarm}
	}
	switch index, err := r.core.Propose(data); err {
	case nil:
		return proposalAnswer{index: index}
	case raft.ErrBusy, raft.ErrTransferring:
		return proposalAnswer{refusal: raft.RefusedBusy}
	case raft.ErrTooLarge:
		return proposalAnswer{refusal: raft.RefusedTooLarge}
	default:
		return proposalAnswer{refusal: raft.RefusedNotLeader}
	}
}
