package rsm_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// A program that directs its clients to the leader by itself waits until there is one.
func ExampleNode_AwaitLeader() {
	nodes, stop := startTallies(3)
	defer stop()
	leader, err := nodes[0].AwaitLeader(context.Background())
	fmt.Println(leader != raft.None, err)
	// Output: true <nil>
}

// The entry tells the order of operations, and which of two results is of an earlier one.
func ExampleNode_SubmitAnywhere() {
	nodes, stop := startTallies(3)
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, first, err := nodes[0].SubmitAnywhere(ctx, 40)
	if err != nil {
		fmt.Println(err)
		return
	}
	sum, second, err := nodes[1].SubmitAnywhere(ctx, 2)
	switch {
	case err == nil:
		fmt.Println(sum, second.Index > first.Index)
	case errors.Is(err, rsm.ErrWrongLeader):
		fmt.Println("there was no leader in time: certainly not executed")
	default:
		fmt.Println("nobody knows whether it was executed:", err)
	}
	// Output: 42 true
}

// Any replica serves reads that reflect all that was acknowledged before.
func ExampleNode_ReadAnywhere() {
	nodes, stop := startTallies(3)
	defer stop()
	ctx := context.Background()
	_, entry, err := nodes[0].SubmitAnywhere(ctx, 42)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, node := range nodes {
		index, err := node.ReadAnywhere(ctx, raft.ReadByIndex)
		fmt.Println(index >= entry.Index, err)
		// The state machine of this replica may be read now.
	}
	// Output:
	// true <nil>
	// true <nil>
	// true <nil>
}

// The storage of a replica, in bytes: here it outlives the replica.
func ExampleMemoryStorage_MarshalBinary() {
	start := func(s *rsm.MemoryStorage) (*rsm.Node[int64, int64], error) {
		return rsm.Start(rsm.Config[int64, int64]{ID: 1, Machine: &Tally{}, Codec: Varint{}, Transport: &Network{}, Log: s, Snapshots: s})
	}
	before := rsm.NewMemoryStorage(raft.NewConfiguration(1))
	node, err := start(before)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(node.SubmitAnywhere(context.Background(), 40))
	node.Stop()

	b, err := before.MarshalBinary()
	if err != nil {
		fmt.Println(err)
		return
	}
	after := new(rsm.MemoryStorage)
	if err := after.UnmarshalBinary(b); err != nil {
		fmt.Println(err)
		return
	}
	if node, err = start(after); err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop()
	fmt.Println(node.SubmitAnywhere(context.Background(), 2))
	// Output:
	// 40 {2 1} <nil>
	// 42 {4 2} <nil>
}
