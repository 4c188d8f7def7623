// Package index is the index of a store that keeps all versions of its keys: it knows which
// versions a key has, and where the record of each is. It holds all keys in memory, and no
// value.
//
//	key ──► hash ──► slot: the key's newest version ──► its older versions, newest first
//	        order ─► slots, in the order of their keys
//
// # What it has
//
//   - A slot for each key (slots.go): the newest version, a link to the older ones, and the
//     place of the key's bytes (keys.go). Slots and bytes of keys that go are used again.
//   - A hash table (hash.go) of small tables, one of which splits when it is full. Keys whose
//     hashes were made to collide are found by the tree.
//   - A B+ tree (order.go) of slots. Beside each it has four bytes of the key, so that a
//     search seldom has to look at the keys themselves (list.go). Its nodes count the keys below
//     them, so that Count need not.
//   - The older versions of all keys, in the order in which newer ones took their place
//     (older.go). What a compaction lets go is at the front. Purge drops it from there without
//     a look at the keys, since a link to a version that is gone shows that by its number. Jumps
//     make an old version of a key that changes all the time quick to find.
//   - The keys that were deleted, in the order of the revisions, for Purge as well.
//
// All of them grow by small pieces and are never copied as a whole, so that no change takes
// long. None has pointers to follow for the garbage collector. A key takes about 95 bytes
// beside its own, and an older version 24 (TestMemory).
//
// An index is filled by changes in the order of revisions, or by a Loader with keys in their
// order, which is faster: that is for what files say at a restart.
//
// # Compaction
//
// A compaction at a revision keeps all that a reader at this or a later revision can see, and
// what was replaced or deleted at exactly this revision: whoever replays its changes needs
// what was before. The rest may go, by Purge, a bit at a time. What Purge has not come to
// yet is still found: the caller refuses revisions below the compacted one.
//
// Each record that was given to the index comes out of it once, by Purge; a caller that counts
// what is left of a file can rely on that. Move tells the index that a record was copied.
//
// # Concurrency
//
// The index has no locks. Any goroutines may read it at the same time, while none changes it.
// The package is pure: without clock, files, randomness and goroutines.
package index
