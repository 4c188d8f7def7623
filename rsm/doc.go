// Package rsm replicates any state machine: Submit an operation to the leader and
// every replica executes it, in the same order, each once, whatever crashes or is
// cut off meanwhile, as long as a majority of the replicas can talk.
//
//	Submit(op) ─► Replica ─┬─► Transport.Send ──► other replicas
//	                │      └─► Log.Save           (at the same time)
//	                ▼
//	          committed by a majority
//	                ▼
//	result ◄── StateMachine.DoOp(op)              (on every replica)
//
// To use it, write a [StateMachine] and a [Codec], bring a [Log], [Snapshots] and a
// [Transport], and [Start] a [Node] for each replica. The example replicates a counter.
// [MemoryStorage] is a Log and Snapshots for tests.
//
// A StateMachine has snapshots: copies of its state, kept by a [Snapshots]. A
// [DurableMachine] keeps its own state on a disk, and tells the replica up to which entry it
// is durable.
//
// # What Submit promises
//
// What Submit takes is what DoOp gets, and what DoOp returned on the replica that
// was asked is what Submit returns. Its error says truly whether the operation may
// have been executed:
//
//	nil              executed; the result is DoOp's
//	ErrWrongLeader   not executed, and never will be: ask another replica (this one may have stopped)
//	ErrBusy          not executed, and never will be: ask again later
//	ErrTooLarge      not executed, and never will be: it is larger than Config.MaxOpBytes, or too much work (see Config.Refuse)
//	ErrAlarm         not executed, and never will be: see [Hasher]
//	ErrWitness       not executed, and never will be: ask another replica (see Config.Witness)
//	anything else    unknown: the replica stopped, a snapshot replaced the operation's part
//	                 of the log, a leader did not answer, or the context ended
//
// A Submit that was accepted waits until its outcome is known, also on a replica that is cut
// off from the others.
//
// SubmitEntry is the same, and tells the index and term of the log entry that held the
// operation.
//
// # On any replica
//
// Submit works on the leader only. [Node.SubmitAnywhere] works on any replica: it waits until
// a leader is known, forwards the operation, and tries again as long as it was certainly not
// executed. An operation is executed at most once, and errors mean the same as with Submit.
// It is known what became of an operation as soon as this replica sees its entry committed,
// or one of a later term; ErrUnknown where it sees neither, nor an answer, for long.
//
// [Node.Read] works on any replica too: a follower asks the leader up to where the log was
// committed, and waits until its own state machine has executed that. After it returned nil
// the state machine of that replica may be read. [Node.ReadAnywhere] also waits until a leader
// is known, and tries again where the leader changed.
//
// [Node.AwaitLeader] waits until a leader is known, and names it. [Node.AwaitLeaderChange]
// waits until that is another one, or none.
//
// # Members
//
// [Node.ChangeConfiguration] adds, promotes and removes members while they work, on the leader.
// The rules are those of package raft. [Config.OnConfiguration] tells of each change, for example
// a Transport that has to know whom to connect with. A new replica starts on a log that was created
// with an empty raft.Configuration, and waits until the leader adds it. One that was removed stops
// by itself: its Err is [ErrRemoved]. With [Config.Witness] a replica votes and keeps no state.
//
// # How it is made
//
// The protocol is pure code, without goroutines, clocks or files: [Replica] takes events and
// returns effects, over a raft.Raft core; [DiskSteps] orders the writes to the disk; [Applier]
// performs the effects on the state machine. [Node] is the shell that runs these over
// goroutines, a disk and a network. The simulator is another shell. Neither shell decides
// anything of the protocol.
package rsm
