//balsa:pure

package rsm

import "balsa.example/raft"

// proposals are the operations that other replicas have forwarded to this one in the latest
// term that it led. They are remembered so that each is proposed at most once:
//
//   - A Propose names a term, and only the leader of that term proposes it. A node leads a
//     term once: it does not come back after it stepped down, and not after a restart. So a
//     memory of the latest term that was led is enough.
//   - A Propose is named by its sender and its ID. A copy of a Propose that is remembered
//     gets the same answer as the first. A refusal is such an answer too: a copy must not
//     be proposed after the sender was told that the operation never will be.
//   - The oldest are forgotten. A Propose carries the latest round of the leader that its
//     sender had seen, and nobody has seen a round before it began. So what arrived before
//     some moment carries the leader's round at that moment, or an earlier one. A Propose
//     with so early a round may be a copy of one that is forgotten: it is neither
//     proposed nor answered.
type proposals struct {
	term raft.Term // the latest that this replica has led since its start; 0: none
	// recent and older are the two latest generations. A new generation begins with no
	// names, and the one before older is forgotten.
	recent, older map[proposalName]proposalAnswer
	recentSince   raft.Round // the leader's round when recent began
	oldestRound   raft.Round // what carries an earlier round may be forgotten
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

const (
	// maxProposals bounds the names of a generation.
	maxProposals = 1 << 16
	// generationTimeouts is the length of a generation in election timeouts. No sender sends
	// a Propose again for longer than that, if its election timeout is the same.
	generationTimeouts = forwardTimeouts
)

// find returns the answer that the first copy of m got.
func (p *proposals) find(m *raft.Propose) (a proposalAnswer, known bool) {
	name := proposalName{m.From, m.ID}
	if a, known = p.recent[name]; !known {
		a, known = p.older[name]
	}
	return a, known
}

// mayBeForgotten tells whether m, which is not known, may be a copy of a Propose that was.
func (p *proposals) mayBeForgotten(m *raft.Propose) bool { return m.Round < p.oldestRound }

// begin begins a new generation. round is the leader's latest.
func (p *proposals) begin(round raft.Round) {
	if len(p.older) > 0 {
		p.oldestRound = p.recentSince + 1
	}
	p.older, p.recent, p.recentSince, p.ticks = p.recent, map[proposalName]proposalAnswer{}, round, 0
}

// noteLeadership forgets the proposals of an earlier term when this replica leads a new one.
func (r *Replica[W]) noteLeadership() {
	if term := r.core.Term(); r.core.Role() == raft.Leader && r.proposals.term != term {
		r.proposals = proposals{term: term, recent: map[proposalName]proposalAnswer{}, recentSince: r.core.Round()}
	}
}

// tickProposals begins a new generation when it is time.
func (r *Replica[W]) tickProposals() {
	p := &r.proposals
	if r.core.Role() != raft.Leader {
		return
	}
	if p.ticks++; p.ticks >= generationTimeouts*r.core.ElectionTimeoutTicks() {
		p.begin(r.core.Round())
	}
}

// onPropose proposes an operation that another replica has forwarded.
func (r *Replica[W]) onPropose(m *raft.Propose) {
	p := &r.proposals
	if m.Term != p.term {
		return // it is not known what was proposed in an earlier term
	}
	answer, known := p.find(m)
	leads := r.core.Role() == raft.Leader && r.core.Term() == m.Term
	switch {
	case known:
	case p.mayBeForgotten(m):
		return
	case !leads: // it never leads this term again, and has not proposed m
		answer.refusal = raft.RefusedNotLeader
	case !r.roomForProposal():
		return
	default:
		answer = r.propose(m)
		p.recent[proposalName{m.From, m.ID}] = answer
	}
	r.replies = append(r.replies, &raft.ProposeReply{
		Header: raft.Header{From: r.id, To: m.From, Term: m.Term}, ID: m.ID, Index: answer.index, Refusal: answer.refusal,
	})
}

// roomForProposal tells whether one more can be remembered. When a generation is full a new one
// begins early, but not in the round in which the full one began: oldestRound would be above
// the leader's own round, so that every new Propose would count as forgotten.
func (r *Replica[W]) roomForProposal() bool {
	p := &r.proposals
	if len(p.recent) >= maxProposals && r.core.Round() > p.recentSince {
		p.begin(r.core.Round())
	}
	return len(p.recent) < maxProposals
}

func (r *Replica[W]) propose(m *raft.Propose) proposalAnswer {
	switch {
	case r.comparison.alarm:
		return proposalAnswer{refusal: raft.RefusedAlarm}
	case r.Admit != nil && !r.Admit(m.Data):
		return proposalAnswer{refusal: raft.RefusedAdmission}
	}
	if !r.proposeFirst() {
		return proposalAnswer{refusal: raft.RefusedBusy}
	}
	switch index, err := r.core.ProposeForwarded(m.From, appendName(proposalName{m.From, m.ID}, m.Data)); err {
	case nil:
		return proposalAnswer{index: index}
	case raft.ErrBusy:
		return proposalAnswer{refusal: raft.RefusedBusy}
	case raft.ErrTooLarge:
		return proposalAnswer{refusal: raft.RefusedTooLarge}
	default: // raft.ErrTransferring: another replica is about to lead
		return proposalAnswer{refusal: raft.RefusedNotLeader}
	}
}

// proposeFirst proposes what First says, once in a term that this replica leads. What First says is known for certain
// when all of the log but its last entry is executed. That entry is of this term, since the term began with one. So the
// state has all of earlier terms then.
//
// It returns false if the operation that has arrived must wait for that: where no operation is known to be committed, of
// those behind the snapshot. A bad schedule otherwise:
//
//  1. A cluster is born. Its first leader commits nothing, or nothing but the entry with which its term began.
//  2. The next leader has not executed that when an operation arrives. First comes too late for it.
//
// Later operations do not wait. There may be much to execute.
func (r *Replica[W]) proposeFirst() bool {
	if r.First == nil || r.core.Role() != raft.Leader || r.firstTerm == r.core.Term() {
		return true
	}
	if op := r.First(); op != nil {
		if r.applied+1 < r.core.Last() {
			return r.used
		}
		if _, err := r.core.Propose(op); err != nil {
			return true // neither is the operation that comes now taken
		}
	}
	r.firstTerm = r.core.Term()
	return true
}
