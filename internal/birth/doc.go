// Package birth decides how a cluster begins: once, with an identity that no other
// cluster has, and with one data directory for each member.
//
// It is a state machine without any input or output: see Birth. What makes it right is
// in docs/semantics.md, "A new data directory"; its test tries every order of messages,
// losses, crashes and emptied disks.
//
//	directory of the founder            directory of another member
//	draws its incarnation               draws its incarnation
//	        │ ── "I am the founder" ────────►│
//	        │                                │ binds itself to that directory, for ever
//	        │◄─── "I am bound to you" ───────│
//	all others are bound:                    │
//	draws the cluster, writes the            │
//	certificate: who was born, with          │
//	which directory                          │
//	        │ ── the certificate ───────────►│
//	takes part                           takes part
//
// Each step is on disk before it is told. Nothing that was said ever becomes wrong, so
// messages may be lost, doubled, or arrive in any order and at any time.
package birth
