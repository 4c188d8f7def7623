package state_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
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
		if _, err := follower.InstallState(sendState(t, leader, follower)); err != nil {
			t.Fatal(err)
		}
	}
	replace()
	for range 2 {
		readAgain(t, &done, stop, func(i int) error {
			if r := follower.Get(fmt.Sprint(i % keys)); r.Code != kv.CodeOK {
				return fmt.Errorf("key %d: %w", i%keys, r.Err())
			}
			if r, err := follower.Range(kv.RangeOp{}); err != nil || len(r.Entries) != keys {
				return fmt.Errorf("range: %d keys, %v", len(r.Entries), err)
			}
			return nil
		})
	}
	for range 20 {
		replace()
	}
	close(stop)
	done.Wait()
}

// readAgain has a goroutine read again and again until stop is closed, or an error.
func readAgain(t *testing.T, done *sync.WaitGroup, stop <-chan struct{}, read func(i int) error) {
	done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := read(i); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

// sendState has a member receive the last checkpoint of another one.
func sendState(t *testing.T, from, to *state.Machine) raft.SnapshotMeta {
	t.Helper()
	stream, err := from.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	err = to.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data)
	if err = errors.Join(err, stream.Data.Close()); err != nil {
		t.Fatal(err)
	}
	return stream.Position
}

// behindLeader is a member with keys in many files, which has received the state of another member that is further.
func behindLeader(t *testing.T, publisher kv.Publisher, compacted uint64) (follower *state.Machine, install func()) {
	leader, _ := openMachine(t, crashfs.NewMem())
	follower = state.New(state.Config{FS: crashfs.NewMem(), Dir: "state", Cluster: 7, ID: 1, RunBytes: 8 << 10, CacheBytes: -1, Publisher: publisher})
	if _, _, err := follower.Open(); err != nil {
		t.Fatal(err)
	}
	follower.UseFetcher(from{leader})
	do := func(m *state.Machine, from, to int) {
		for i := from; i < to; i++ {
			m.DoOp(set(keyOf(i), valueOf(i)))
		}
		if err := checkpoint(m, raft.Index(to)); err != nil {
			t.Fatal(err)
		}
	}
	do(follower, 0, 500)
	do(leader, 0, 500)
	if compacted > 0 {
		leader.DoOp(compact(compacted))
	}
	do(leader, 500, 1000)
	position := sendState(t, leader, follower)
	return follower, func() {
		if _, err := follower.InstallState(position); err != nil {
			t.Fatal(err)
		}
	}
}

// A reader of the history goes on in that of the state which replaces the one that it reads.
func TestAScanOutlivesTheState(t *testing.T) {
	for _, at := range []uint64{2, 60, 501} {
		m, install := behindLeader(t, nil, 0)
		next := uint64(2)
		err := m.Scan(next, func(revision uint64, events []kv.Event) bool {
			if revision != next || len(events) != 1 {
				t.Fatalf("%d events of revision %d, want %d", len(events), revision, next)
			}
			if next++; revision == at {
				install()
			}
			return true
		})
		if err != nil || next < 502 {
			t.Errorf("replaced at %d: up to %d: %v", at, next-1, err)
		}
	}
}

// installing is a Publisher that is told of what another state does not have any more.
type installing struct{ compacted func(revision uint64) }

func (*installing) Active() bool                { return false }
func (*installing) Publish(uint64, []kv.Event)  {}
func (i *installing) Compacted(revision uint64) { i.compacted(revision) }
func (*installing) Reset(uint64, uint64)        {}

// What cannot be read any more in a state that was received is told before it is there.
func TestAReceivedCompactionIsToldBeforeReadersAreRefused(t *testing.T) {
	p := &installing{func(uint64) {}}
	m, install := behindLeader(t, p, 300)
	told := uint64(0)
	p.compacted = func(revision uint64) {
		told = revision
		if err := m.Scan(2, func(uint64, []kv.Event) bool { return true }); err != nil {
			t.Errorf("when it is told: %v", err)
		}
	}
	if install(); told != 300 || m.Compacted() != 300 {
		t.Errorf("told of %d, compacted at %d", told, m.Compacted())
	}
}
