// Package kv is the key/value store that balsa replicates: versioned keys under one store
// revision, with their history, ranges, transactions, and changes of one key at a version.
//
//	         Validate            Codec.Append           Codec.Decode
//	client ──► Op ────► server ──────────────► Raft log ─────────────► DoOp, Txn ──► Result
//	                                                                       │
//	                 Get, Range, Scan (any goroutine) ◄── index: where ◄───┤
//	                                    └─────────────◄── history: what ◄──┘
//
// # What a store holds
//
// A store counts its revisions: it is at 1 when empty, and each command that changes something
// adds one, however many keys it changes. Refused operations and gets add nothing. A key
// carries the revision that created it, the revision that changed it last, and its version:
// the number of Puts since its creation, so 1 at first, and 0 where there is no such key. A
// deleted key that comes back starts again at version 1. That is etcd's data model.
//
// All that happened since the last compaction can be read: every key at every revision (Range),
// and the events of every revision in order (Scan). Compact forgets what is below a revision,
// on all replicas alike. Each of them frees memory and files in its own time: see Purge, Live
// and Move.
//
// A write of one key (Op) is conditional unless it says otherwise: it takes effect only if the
// key has the version that the operation names (0: absent). That is not enough to send an
// operation twice and have it happen once, since a key that others delete and create again
// goes through the same versions again. So an operation can also demand that the key is
// unchanged since a revision: see Op.UnchangedSince, and marks for what a store remembers
// of deleted keys when compaction has forgotten them. Refusals are Results too, the same on
// every replica.
//
// # Where a store keeps it
//
// A change is a record of the history (package run), which has the newest records in memory and
// all others in files. The index (package index) knows of each version where its record is. A
// checkpoint is the history up to a mark, and the Totals, from which OpenStore makes the store
// again. Package state puts both under one manifest.
//
// # What it does not do
//
// The package is pure, but for the files of its history: it has no clock, randomness, goroutine
// or socket. Its locks let a server read while operations are executed (see Store). It does not
// import rsm: Codec implements rsm.Codec[Op] by its methods alone, and state.Machine is what is
// replicated.
package kv
