// Package sim runs whole clusters in a simulated world. The Raft core, Replica, Applier,
// service, key/value store, Clerk machine and log are those of a real server. The clocks,
// disks and networks are simulated, and fail in the ways in which real ones do.
//
//	           one event heap, one PRNG, no goroutine
//	                          │
//	clients ── network ── nodes ── disks            injections
//	clerk.Op   loses,     rsm.Replica,  a model,    crashes, cuts, pauses,
//	           repeats,   state.Machine or package  full and broken disks,
//	           reorders                 wal         clocks, ...
//	                          │
//	         checker: invariants after every step, and the truth
//
// A seed decides everything: the size of the cluster, its load, its faults and their times
// (Mix, Injection). The same seed gives the same run, event for event, which the hash of its
// trace shows. A run has two phases. In the safety phase faults are injected. Then all faults
// end: the cluster must make progress, every client must get its answer, and all nodes must
// reach the same state.
//
//	node.go, loop.go, apply.go       the shell of a node, in the steps of rsm.Node
//	disk.go, model.go, memfs.go      the storage of a node
//	machine.go, maintain.go          what is replicated: package state, or a machine with snapshots
//	fetch.go                         how it reads files of another node's machine
//	service.go                       how a node gets requests
//	timekeeping.go                   the shell of a leader's time, and what must hold of leases
//	client.go                        the shell of a Clerk
//	users.go                         users, and who changes what they may do
//	caller.go, callerops.go          clients of transactions, ranges, leases and sessions
//	limits.go                        who sets the quota and raises alarms
//	cold.go                          keys that stay as they are
//	etcdcaller.go                    those that speak the API of etcd
//	mix.go, fault.go, injection.go   the faults
//	members.go, confs.go             changes of the members, and what must hold of them
//	directory.go                     directories of members that are lost, and which server is which member
//	witness.go                       voters without a state, and what must hold of them
//	attention.go                     what is demanded while there are faults
//	converge.go, minority.go, ...    what is demanded when the faults have ended
//	invariants.go, leasegrants.go,
//	prevotes.go                      what must hold after each step
//	truth.go                         that all replicas execute the same, and what is right
//	record.go, history.go, calls.go  what clients may see
//	viewer.go                        clients that watch
//	content.go                       what a node can read
package sim
