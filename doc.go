// Package balsa replicates a state machine on the machines of a cluster, and survives the
// loss of any minority of them. A program brings the machine and the names of the members;
// one call does the rest:
//
//	node, err := balsa.Start(balsa.Config[Op, Result]{
//		Name: "n1", Dir: "data", Machine: machine, Codec: balsa.JSON[Op]{},
//		Members: map[string]string{"n1": "10.0.0.1:7400", "n2": "10.0.0.2:7400", "n3": "10.0.0.3:7400"},
//	})
//	...
//	result, err := node.Submit(ctx, op) // DoOp's result, once a majority has op on disk
//
// What it puts together can be used by itself, from the bottom to the top:
//
//	raft       consensus as a pure value: events in, effects out
//	rsm        a replica: raft, a state machine, and the goroutines for them
//	wal        the log and the snapshots on disk
//	transport  messages between replicas, by TCP or TLS
//	member     who is who: the data directory, and whom the others admit
//
// The key/value service of the same name is another program on these parts. Package embed
// runs all of it in a Go program, and package clerk is its client.
package balsa
