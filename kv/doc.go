// Package kv is the key/value state machine that balsa replicates: versioned keys
// under one store revision, with conditional and unconditional changes.
//
//	            Validate            Codec.Append           Codec.Decode
//	client ──► Op ──────► server ──────────────► Raft log ─────────────► DoOp ──► Result
//	                                                                      │
//	                 Get (any goroutine)        ◄── a slot for each key ◄─┤
//	                 Snapshot ──► image.WriteTo ◄── each slot as it was ◄─┘
//
// # What a store holds
//
// A store counts its revisions: it is at 1 when empty, and each change adds one. Refused
// operations and gets add nothing. A key carries the revision that created it, the
// revision that changed it last, and its version: the number of Puts since its
// creation, so 1 at first, and 0 where there is no such key. A deleted key that comes
// back starts again at version 1. That is etcd's data model.
//
// An operation is conditional unless it says otherwise: it takes effect only if the key
// has the version that the operation names (0: absent). That is not enough to send an
// operation twice and have it happen once, since a key that others delete and create again
// goes through the same versions again. So an operation can also demand that the key is
// unchanged since a revision: see Op.UnchangedSince, and marks for what a store remembers
// of deleted keys. Refusals are Results too, the same on every replica.
//
// # What it does not do
//
// The package is pure: it has no clock, randomness, goroutine, file or socket. Its one lock
// lets a server read while operations are executed (see Store). It does not import rsm:
// *Store implements rsm.StateMachine[Op, Result] and Codec implements rsm.Codec[Op] by
// their methods alone.
package kv
