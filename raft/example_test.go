package raft_test

import (
	"fmt"
	"math/rand/v2"

	"balsa.example/raft"
)

// A shell feeds events in and carries effects out. This one runs a cluster of three in one
// goroutine, with a network, disks and state machines that take no time and never fail.
func Example() {
	nodes := map[raft.NodeID]*raft.Raft{}
	for id := raft.NodeID(1); id <= 3; id++ {
		r, err := raft.New(
			raft.Config{ID: id, Rand: rand.New(rand.NewPCG(1, uint64(id)))},
			raft.State{Snapshot: raft.SnapshotMeta{Configuration: raft.NewConfiguration(1, 2, 3)}},
		)
		if err != nil {
			fmt.Println(err)
			return
		}
		nodes[id] = r
	}
	// carryOut does what one node wants done, and what that leads to at the others.
	var carryOut func(id raft.NodeID)
	carryOut = func(id raft.NodeID) {
		r := nodes[id]
		for e := r.Effects(); !e.Empty(); e = r.Effects() {
			if e.Persist != nil {
				r.Persisted(e.Persist.Seq) // now that it is on disk
			}
			for _, entry := range e.Committed {
				if id == 1 && entry.Kind == raft.EntryCommand {
					fmt.Printf("node %d applies %s\n", id, entry)
				}
				r.Applied(entry.Index)
			}
			for _, m := range e.Messages {
				if err := nodes[m.Head().To].Step(m); err != nil {
					fmt.Println(err)
				}
				carryOut(m.Head().To)
			}
		}
	}
	for nodes[1].Role() != raft.Leader {
		nodes[1].Tick(0) // the others get no ticks, so node 1 is elected
		carryOut(1)
	}
	index, err := nodes[1].Propose([]byte("hello"))
	fmt.Println("proposed at", index, err)
	carryOut(1)
	// Output:
	// proposed at 2 <nil>
	// node 1 applies 1/2 "hello"
}

// A transport sends the kind and the length of a message beside its encoding.
func ExampleAppendMessage() {
	vote := &raft.RequestVoteReply{Header: raft.Header{From: 2, To: 1, Term: 300}, Campaign: 7, Granted: true}
	b := raft.AppendMessage(nil, vote)
	fmt.Printf("kind %d, %x\n", vote.Kind(), b)
	m, err := raft.DecodeMessage(vote.Kind(), b)
	fmt.Println(m, err)
	// Output:
	// kind 4, 0201ac020701
	// n2->n1 RequestVoteReply term=300 campaign=7 granted=true <nil>
}
