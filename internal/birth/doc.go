// Package birth decides how a cluster begins (its bootstrap): once, with an identity that no other
// cluster has, and with one data directory for each member.
//
// It is a pure state machine: see Birth. Why the rules are right is in docs/semantics.md,
// under "A new data directory". The test tries every order of messages, losses, crashes
// and emptied disks.
//
//	directory of the founder            directory of another member
//	draws its incarnation               draws its incarnation
//	        │ ── "I am the founder" ────────►│
//	        │                                │ binds itself to that directory, for ever
//	        │◄─── "I am bound to you" ───────│
//	all others are bound:                    │
//	draws the cluster's identity, writes     │
//	the certificate: each member and its     │
//	directory                                │
//	        │ ── the certificate ───────────►│
//	takes part                           takes part
//
// Each step is on disk before a message about it is sent. What such a message says stays true, so
// that messages may be lost, duplicated, or arrive in any order and at any time.
package birth
