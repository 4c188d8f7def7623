// Package watch matches the events of a store to those that watch it.
//
//	          Publish            Match                    Next
//	store ───────────► pending ─────────► group's ring ──────────► stream of a client
//	                                                        ▲
//	store's history ──────────── Scan ──► piece ────────────┘
//	                                      for watchers that are behind
//
// A Hub is told of every revision. A Stream has the watchers of one client, each of a Span
// from a revision on, and hands out what they are due.
//
// # What a watcher gets
//
// A watcher gets every event of its span that its filters let pass, from its first revision
// on. It gets them in the order of the revisions, and those of one revision in the order in
// which they happened. It gets each once, and all of a revision in one Batch. It never gets
// an event below its first revision, also on a server that has not reached that yet. A
// progress mark of revision R says that it has got all events up to R.
//
// # What a watcher costs
//
// Watchers with the same span and filters form a group. One event is matched to groups: by a
// hash for spans of one key, by a tree of intervals for the others. A Batch is made once for
// its group, and encoded once. Watchers of one group and one stream are one cursor as soon as
// they have got the same, and are woken and served as one.
//
// A cursor is a revision. Nothing is queued for a watcher. What the groups keep is bounded in
// bytes over the whole Hub. A cursor whose next batch is gone from there reads the store's
// history, in pieces that it shares with others at about the same place, until it has caught
// up. If that history is compacted, the watcher ends, and is told so.
//
// # Goroutines
//
// The Hub has none. Publish, Compacted and Reset are for the goroutine that executes the log,
// and wait for nobody who matches or reads. Match is for one goroutine of the shell. All else
// is for any goroutine.
package watch
