package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	epb "balsa.example/internal/frontend/etcd/v3electionpb"
	lpb "balsa.example/internal/frontend/etcd/v3lockpb"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/raft"
	"balsa.example/state"
)

// queues runs a test in a bubble, with leases 1 to 5.
func queues(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		h := newWatched(t, watch.Limits{})
		n := &node{machine: h.machine, leader: 1, now: 1}
		w := &world{node: n, any: &etcd.Caller{}, Face: etcd.New(etcd.Config{
			Node: n, Member: n, ClusterID: 7, MemberID: 8, ElectionTimeout: time.Second,
			Watches: etcd.Watches{Hub: h.hub, Stopping: h.stopping},
		})}
		for id := range int64(5) {
			do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 1 + id, TTL: 60})
		}
		test(t, w)
	})
}

func lockWith(lease int64) *lpb.LockRequest { return &lpb.LockRequest{Name: []byte("l"), Lease: lease} }

func TestLockGoesFromOneToTheNext(t *testing.T) {
	queues(t, func(t *testing.T, w *world) {
		var held []string
		var fences []int64
		for lease := range int64(5) {
			go func() {
				r, err := w.Lock(t.Context(), &etcd.Caller{}, lockWith(1+lease))
				if err != nil {
					t.Error(err)
					return
				}
				held = append(held, string(r.Key))
				fences = append(fences, do(t, w, w.Range, &pb.RangeRequest{Key: r.Key}).Kvs[0].CreateRevision)
			}()
			synctest.Wait()
		}
		for i := range 5 {
			synctest.Wait()
			if want := fmt.Sprintf("l/%x", 1+i); len(held) != i+1 || held[i] != want {
				t.Fatalf("after %d unlocks the lock is held by %q", i, held)
			}
			do(t, w, w.Unlock, &lpb.UnlockRequest{Key: []byte(held[i])})
		}
		if !slices.IsSorted(fences) || fences[0] == fences[4] {
			t.Errorf("fences %d", fences)
		}
		if n := do(t, w, w.Range, get("l/", "l0")).Count; n != 0 {
			t.Errorf("%d keys are left over", n)
		}
	})
}

func TestLockWithTheSameLeaseIsTakenOnce(t *testing.T) {
	queues(t, func(t *testing.T, w *world) {
		first := do(t, w, w.Lock, lockWith(1))
		again := do(t, w, w.Lock, lockWith(1))
		if string(first.Key) != "l/1" || string(again.Key) != "l/1" || first.Header.Revision != again.Header.Revision {
			t.Errorf("%v and %v", first, again)
		}
	})
}

func TestLockIsNotHeldByAnEndedLease(t *testing.T) {
	queues(t, func(t *testing.T, w *world) {
		do(t, w, w.Lock, lockWith(1))
		ended := make(chan error, 2)
		for _, lease := range []int64{2, 3} {
			go func() {
				_, err := w.Lock(t.Context(), &etcd.Caller{}, lockWith(lease))
				ended <- err
			}()
			synctest.Wait()
		}
		// The one in the middle goes: the last must not take the lock from the first.
		do(t, w, w.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 2})
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatalf("a wait has ended: %v", <-ended)
		}
		do(t, w, w.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 1})
		synctest.Wait()
		var texts []string
		for len(ended) > 0 {
			if err := <-ended; err != nil {
				texts = append(texts, err.Error())
			}
		}
		if !slices.Equal(texts, []string{"mutex: session is expired"}) {
			t.Errorf("errors %q", texts)
		}
		_, err := w.Lock(t.Context(), w.any, lockWith(404))
		refused(t, err, translate.ErrLeaseNotFound)
	})
}

// nodeWithTerm is a node that something happens to when a response is made.
type nodeWithTerm struct {
	*node
	asked func()
}

func (n *nodeWithTerm) Term() raft.Term {
	n.asked()
	return n.node.Term()
}

// The holder gives a lock up after the next one has found whom to wait for, and before it waits.
func TestLockSeesWhatHappensBeforeItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWatched(t, watch.Limits{})
		n := &nodeWithTerm{&node{machine: h.machine, leader: 1, now: 1}, func() {}}
		w := &world{node: n.node, any: &etcd.Caller{}, Face: etcd.New(etcd.Config{
			Node: n, Member: n, ElectionTimeout: time.Second, Watches: etcd.Watches{Hub: h.hub, Stopping: h.stopping},
		})}
		for id := range int64(2) {
			do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 1 + id, TTL: 60})
		}
		held := do(t, w, w.Lock, lockWith(1))
		responses := 0
		n.asked = func() {
			if responses++; responses == 2 { // the first says that it has its place, the second who is before it
				c := state.Command{Op: kv.Op{Kind: kv.Delete, Key: string(held.Key), Unconditional: true}}
				if r, _, err := n.Submit(t.Context(), nil, c); err != nil || r.Code != kv.CodeOK {
					t.Error(err, r.Code)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Lock(ctx, w.any, lockWith(2)); err != nil || responses < 3 {
			t.Errorf("after %d responses: %v", responses, err)
		}
	})
}

// Somebody deletes the key of one who waits, and its lease, which goes on, gets a new one: that stands behind all who
// came meanwhile.
func TestLockIsNotHeldByAnotherKeyOfTheLease(t *testing.T) {
	queues(t, func(t *testing.T, w *world) {
		do(t, w, w.Lock, lockWith(1))
		ended := make(chan error, 1)
		go func() {
			_, err := w.Lock(t.Context(), &etcd.Caller{}, lockWith(2))
			ended <- err
		}()
		synctest.Wait()
		do(t, w, w.DeleteRange, del("l/2", ""))
		do(t, w, w.Put, &pb.PutRequest{Key: []byte("l/2"), Lease: 2})
		do(t, w, w.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 1})
		if err := <-ended; err == nil || err.Error() != "mutex: session is expired" {
			t.Errorf("the wait for a key that is gone ends with %v", err)
		}
	})
}

func TestLockThatIsGivenUpLeavesNoKey(t *testing.T) {
	queues(t, func(t *testing.T, w *world) {
		do(t, w, w.Lock, lockWith(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Lock(ctx, w.any, lockWith(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if keys := keysOf(do(t, w, w.Range, get("l/", "l0")).Kvs); !slices.Equal(keys, []string{"l/1"}) {
			t.Errorf("keys %q", keys)
		}
		// Whoever asks again with the lease that holds the lock, and gives up, has it still.
		canceled, end := context.WithCancel(t.Context())
		end()
		w.Lock(canceled, w.any, lockWith(1))
		if do(t, w, w.Range, get("l/1", "")).Count != 1 {
			t.Error("the lock is lost")
		}
	})
}

func TestLockWithoutALeaseGetsOne(t *testing.T) {
	queues(t, func(t *testing.T, w *world) {
		r := do(t, w, w.Lock, lockWith(0))
		held := do(t, w, w.Range, &pb.RangeRequest{Key: r.Key}).Kvs[0]
		if ttl := do(t, w, w.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: held.Lease}); ttl.GrantedTTL != 60 {
			t.Errorf("%v", ttl)
		}
	})
}

func TestElection(t *testing.T) {
	queues(t, func(t *testing.T, w *world) {
		name := []byte("e")
		_, err := w.ElectionLeader(t.Context(), w.any, &epb.LeaderRequest{Name: name})
		if err == nil || err.Error() != "election: no leader" {
			t.Error(err)
		}
		p := newPipe(t.Context(), 100)
		p.requests <- &epb.LeaderRequest{Name: name}
		go w.Observe(&etcd.Caller{}, p)
		synctest.Wait()
		first := do(t, w, w.Campaign, &epb.CampaignRequest{Name: name, Lease: 1, Value: []byte("one")})
		if string(first.Leader.Key) != "e/1" || first.Leader.Lease != 1 || string(first.Leader.Name) != "e" {
			t.Errorf("%v", first)
		}
		var second *epb.CampaignResponse
		go func() {
			second = do(t, w, w.Campaign, &epb.CampaignRequest{Name: name, Lease: 2, Value: []byte("two")})
		}()
		synctest.Wait()
		do(t, w, w.Proclaim, &epb.ProclaimRequest{Leader: first.Leader, Value: []byte("one more")})
		// A campaign of the leader itself replaces the value.
		do(t, w, w.Campaign, &epb.CampaignRequest{Name: name, Lease: 1, Value: []byte("again")})
		if r := do(t, w, w.ElectionLeader, &epb.LeaderRequest{Name: name}); string(r.Kv.Value) != "again" || second != nil {
			t.Errorf("%v leads, %v", r, second)
		}
		synctest.Wait()
		do(t, w, w.Resign, &epb.ResignRequest{Leader: first.Leader})
		synctest.Wait()
		if second == nil || second.Leader.Rev <= first.Leader.Rev {
			t.Fatalf("after the resignation %v leads", second)
		}
		do(t, w, w.Resign, &epb.ResignRequest{Leader: first.Leader}) // no error, and nothing changes
		_, err = w.Proclaim(t.Context(), w.any, &epb.ProclaimRequest{Leader: first.Leader, Value: []byte("late")})
		if err == nil || err.Error() != "election: not leader" {
			t.Error(err)
		}
		synctest.Wait()
		var seen []string
		for len(p.sent) > 0 {
			r := (<-p.sent).(*epb.LeaderResponse)
			seen = append(seen, string(r.Kv.Value))
			if r.Header.Revision < r.Kv.ModRevision {
				t.Errorf("%v", r)
			}
		}
		if got := strings.Join(seen, ","); got != "one,one more,again,two" {
			t.Errorf("observed %s", got)
		}
	})
}

// As in etcd, what is proclaimed ends with a lease, also where none is named.
func TestWhatIsProclaimedHasALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		do(t, w, w.Proclaim, &epb.ProclaimRequest{Leader: &epb.LeaderKey{Key: []byte("k")}})
		if r := do(t, w, w.Range, &pb.RangeRequest{Key: []byte("k")}); len(r.Kvs) != 1 || r.Kvs[0].Lease == 0 {
			t.Errorf("%v", r)
		}
	})
}

func TestElectionNeedsALeaderKey(t *testing.T) {
	w := newWorld(t)
	_, proclaim := w.Proclaim(t.Context(), w.any, &epb.ProclaimRequest{})
	_, resign := w.Resign(t.Context(), w.any, &epb.ResignRequest{})
	for _, err := range []error{proclaim, resign} {
		if err == nil || err.Error() != `"leader" field must be provided` {
			t.Error(err)
		}
	}
}

func TestQueuesAreReadByTheRightsOfTheirKeys(t *testing.T) {
	w := guarded(t, false)
	for name, want := range map[string]*translate.Error{"loner": translate.ErrPermissionDenied, "writer": translate.ErrPermissionDenied, "reader": nil} {
		err := w.invoke(t, "Leader", &etcd.Caller{CommonName: name}, &epb.LeaderRequest{Name: []byte("a")})
		if want != nil {
			refused(t, err, &translate.Error{Code: translate.Unknown, Text: want.Text})
		} else if err == nil || err.Error() != "election: no leader" {
			t.Errorf("%s: %v", name, err)
		}
		if err := w.invoke(t, "Observe", &etcd.Caller{CommonName: name}, &epb.LeaderRequest{Name: []byte("z")}); !errors.Is(err, translate.ErrPermissionDenied) {
			t.Errorf("%s observes: %v", name, err)
		}
	}
}
