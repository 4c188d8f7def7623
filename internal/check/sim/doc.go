// Package sim runs whole clusters in a simulated world: the same Raft core, Replica,
// Applier, service, key/value store, Clerk machine and log that a real server runs, over
// simulated clocks, disks and networks that fail in every way that real ones do, and some
// more.
//
//	           one event heap, one PRNG, no goroutine
//	                          │
//	clients ── network ── nodes ── disks            injections
//	clerk.Op   loses,     rsm.Replica,  a model,    crashes, cuts, pauses,
//	           repeats,   kv.Store      or package  full and broken disks,
//	           reorders                 wal         clocks, ...
//	                          │
//	         checker: invariants after every step, and the truth
//
// A seed decides everything: how the cluster is made, its load, which faults it meets
// and when (Mix, Injection). The same seed gives the same run, event for event, which the
// hash of its trace shows. A run has a safety phase with faults, and after it all faults
// end: then the cluster must make progress, every client must get its answer, and all
// nodes must come to rest in one state.
//
// Where to read what: node.go, loop.go and apply.go are the shell of a node, in the
// steps of rsm.Node; disk.go, model.go and memfs.go its storage; service.go brings
// it requests; client.go is the shell of a Clerk; mix.go, fault.go and injection.go say what
// goes wrong. What must hold is in invariants.go, and what clients may see in record.go
// and history.go.
package sim
