// Package raft is the Raft consensus protocol as a pure value: events go in, effects come
// out. It has no goroutine, clock, socket, file or lock, so that the same code runs under a
// real shell (package rsm) and under a simulated one.
//
//	            Tick, Step, Propose, ReadIndex, ...
//	                          │
//	                     ┌────▼────┐
//	                     │  Raft   │   log, role, one handler per role x message
//	                     └────┬────┘
//	                      Effects()
//	   ┌─────────────┬────────┴───┬───────────────┐
//	Persist       Messages      Committed        Reads
//	   │             │            │               │
//	  disk        network    state machine     callers
//	   │                          │
//	Persisted(seq)           Applied(index)       back in as events
//
// A shell calls any number of event methods, then Effects once, and carries the effects out.
// Storage and apply are always asynchronous: a shell need not wait for one before it sends,
// applies, or hands in the next events. What comes in while the disk is busy forms the next
// batch. The core keeps back every message whose promise is not durable yet, until the shell
// reports the write with Persisted. The order that remains for a shell to keep is on
// [Effects].
//
// The source of each rule stands beside it. "Paper" is Ongaro and Ousterhout, In Search of an
// Understandable Consensus Algorithm (extended version); "thesis" is Ongaro, Consensus:
// Bridging Theory and Practice.
//
// Beyond the paper are these, each with its source in its file: witnesses, pre-votes, check-quorum,
// leases, forwarded reads, transfer of leadership, a leader that leaves its own slow disk, and
// the detection of a member whose disk has lost what it had acknowledged.
//
// # Members
//
// A leader changes the members with ProposeConfiguration, from any set of voters to any other, by
// joint consensus (paper, section 6). A configuration is an entry of the log:
//
//   - It counts from when it is in a node's log, committed or not, and is taken back if that
//     entry is. It is part of the meta of each snapshot, so a restart knows it.
//   - There is one change at a time, and none before the leader has committed an entry of its term.
//   - Where voters change, a joint configuration comes first: elections, commits, reads, leases and
//     CheckQuorum need a majority of the old voters and one of the new. When it is committed the
//     leader, or the next one, leaves it.
//   - A learner gets the log and counts for nothing. Only a learner that has caught up may become a
//     voter.
//   - A leader that is not in the new set goes on until that is committed, without counting itself.
//     Then it hands over, or steps down.
//   - Votes are given by term and log alone: a node may have to vote before it knows that it is a
//     voter. A removed member, which does not know that yet, deposes nobody, since a node that hears
//     from a leader ignores its questions.
//   - A removed member is sent the log until it must know of its removal, for at most ten election
//     timeouts (see Raft.Removed).
//   - A node that joins begins with an empty configuration, and waits for a leader.
//   - A witness votes, and keeps the tail of the log that a full voter may lack, and no state.
//
// Where to read what:
//
//	step.go           the events Step and Tick; the index of the protocol by role and message
//	malformed.go      messages that no sound node sends
//	follower.go       the state of a follower; the receiving side of replication
//	candidate.go      the state of a candidate; pre-votes and campaigns
//	leader.go         the state of a leader; proposals, heartbeats, commit
//	replicate.go      the sending side of replication; progress.go: what is known of one peer
//	election.go       when elections begin; who gets a vote
//	read.go           linearizable reads; lease.go: leases
//	transfer.go       transfer of leadership; owndisk.go: away from a slow disk; ownstate.go: away from a
//	                  state machine that hangs; makeroom.go: where there is nobody to hand over to
//	lostlog.go        members that have lost what they acknowledged
//	log.go            the log in memory; blocks.go: how it is stored; limits.go: its bounds
//	configuration.go  the memberships in force along the log
//	membership.go     which configuration may follow which; change.go: how they change
//	witness.go        voters without a state
//	persist.go        what is on its way to disk, and the messages that wait for that
//	effects.go        what the core wants done
//	encode.go         encoding of entries and metas; encode_message.go: of messages
//	status.go         what can be asked of a node
//
// A broken invariant panics: a node that is wrong about its own state must stop before it
// makes others wrong.
package raft
