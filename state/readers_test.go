package state_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
)

// Readers go on, and see no error, while the state that they read is replaced by another one.
func TestReadersOutliveTheState(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewMem())
	follower, _ := openMachine(t, crashfs.NewMem())
	follower.UseFetcher(from{leader})
	const keys = 300
	var done sync.WaitGroup
	stop := make(chan struct{})
	index := raft.Index(0)
	replace := func() {
		for i := range keys {
			leader.DoOp(set(fmt.Sprint(i), fmt.Sprintf("value %100d", i)))
			index++
		}
		if err := checkpoint(leader, index); err != nil {
			t.Fatal(err)
		}
		stream, err := leader.OpenState()
		if err != nil {
			t.Fatal(err)
		}
		if err := follower.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data); err != nil {
			t.Fatal(err)
		}
		if err := stream.Data.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := follower.InstallState(stream.Position); err != nil {
			t.Fatal(err)
		}
	}
	replace()
	for range 2 {
		done.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if r := follower.Get(fmt.Sprint(i % keys)); r.Code != kv.CodeOK {
					t.Errorf("key %d: %v", i%keys, r.Err())
					return
				}
				if r, err := follower.Range(kv.RangeOp{}); err != nil || len(r.Entries) != keys {
					t.Errorf("range: %d keys, %v", len(r.Entries), err)
					return
				}
			}
		})
	}
	for range 20 {
		replace()
	}
	close(stop)
	done.Wait()
}
