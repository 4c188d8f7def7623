// Package raft is the Raft consensus protocol as a pure value: events go in,
// effects come out. It has no goroutine, clock, socket, file or lock, so that the
// same code runs under a real shell (package rsm) and under a simulated one.
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
// A shell calls any number of event methods, then Effects once, and carries the
// effects out; what comes in while the disk is busy is batched by that alone.
// Nothing in Effects waits for anything else in the same Effects: the core itself
// holds back every message whose promise is not durable yet, until the shell
// reports the write with Persisted. Storage and apply are always asynchronous.
//
// The sources are named where each rule stands: "paper" is Ongaro and Ousterhout,
// In Search of an Understandable Consensus Algorithm (extended version); "thesis"
// is Ongaro, Consensus: Bridging Theory and Practice.
//
// Where to read what: [Raft.Step] is the door for messages, and handlers in
// raft.go the index of the protocol by role and message. election.go has votes,
// leader.go the sending and follower.go the receiving side of replication,
// progress.go what a leader knows of one peer, read.go linearizable reads, lease.go the
// lease, lostlog.go members that have forgotten what they acknowledged, transfer.go the
// handing over of leadership, log.go the log in memory.
//
// A broken invariant panics: a node that is wrong about its own state must stop
// before it makes others wrong.
package raft
