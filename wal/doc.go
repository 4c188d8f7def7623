// Package wal keeps what one member of a cluster must not forget: its log and its snapshots,
// in the files of one directory. A *Log implements rsm.Log and rsm.Snapshots.
//
// Create makes the log of a new member, once. Open opens it at every start. The other methods
// are called by rsm.
//
//	IDENTITY               cluster, node, incarnation; its presence means "created"
//	LOCK                   held while a process uses the directory
//	0000000000000007.log   segment 7: sealed, full
//	0000000000000008.log   segment 8: the one being written
//	0000000000000009.log   segment 9: prepared ahead of time, not used yet
//	0000000000000003.log.tmp   was segment 3; its file waits to be used again
//	0000000000004e20.snap  the newest snapshot, of index 20000
//	*.tmp                  other such names: being written; of no value after a crash
//
// Every file begins with the same 64-byte header (see header). A segment goes on
// with frames, a snapshot with chunks:
//
//	segment   header | frame | frame | ... | frame | zeros, or what the file held before
//	frame     magic, length, batch sequence, CRCs | record | record | ... | padding
//	snapshot  header | meta | chunk | ... | chunk | footer
//
// One Save is one frame, one write and one sync, and so takes effect as a whole or not at all.
// The first frame of a segment begins with a checkpoint: the position that the segments before
// it lead to. So those can be removed when a durable state covers their entries.
//
// A state machine that keeps its own durable state has no snapshots here: see
// Options.NoSnapshots.
//
// DESIGN.md says how a torn write is told from damage, and what cannot be told apart.
package wal
