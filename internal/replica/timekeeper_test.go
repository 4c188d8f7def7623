package replica

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// fakeNode is a leader that executes what it is given after a millisecond.
type fakeNode struct {
	t       *testing.T
	machine *state.Machine

	mu     sync.Mutex
	term   raft.Term // 0: another one leads
	leader raft.NodeID
	ticks  int
	hangs  bool // nothing commits
}

func newFakeNode(t *testing.T) *fakeNode {
	m := state.New(state.Config{FS: crashfs.NewMem(), Dir: "state"})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	return &fakeNode{t: t, machine: m, term: 1, leader: 1}
}

func (n *fakeNode) LeadsIn() raft.Term {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.term
}

func (n *fakeNode) Leader() raft.NodeID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leader
}

// lead changes the leadership, which the clock notices within a period.
func (n *fakeNode) lead(term raft.Term, leader raft.NodeID) {
	n.mu.Lock()
	n.term, n.leader = term, leader
	n.mu.Unlock()
	time.Sleep(clockTimeout / 4)
	synctest.Wait()
}

// hang lets nothing commit, or what comes from now on.
func (n *fakeNode) hang(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hangs = yes
}

// ticked returns how many Ticks were proposed.
func (n *fakeNode) ticked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ticks
}

func (n *fakeNode) SubmitFunc(c state.Command, done func(state.Result, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ticks++ // no other commands are submitted
	if !n.hangs {
		time.AfterFunc(time.Millisecond, func() { done(n.machine.DoOp(c), nil) })
	}
}

const clockTimeout = 400 * time.Millisecond // of elections: a Tick each 100 ms

func (n *fakeNode) start() *timekeeper { return newTimekeeper(n, n.machine.TimeView, clockTimeout) }

func (n *fakeNode) grant(k *timekeeper, id int64, ttl time.Duration) {
	stamp, err := k.Stamp()
	if err != nil {
		n.t.Fatal(err)
	}
	n.machine.DoOp(state.Command{More: &state.More{Kind: state.KindGrant, Lease: id, TTL: int64(ttl), Stamp: stamp}})
}

func TestClockRunsWhileThereAreLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNode(t)
		k := n.start()
		defer k.stop()
		time.Sleep(time.Minute)
		if n.ticked() != 0 {
			t.Errorf("%d ticks of an idle store", n.ticked())
		}
		n.grant(k, 1, 2*time.Second)
		time.Sleep(2*time.Second - 200*time.Millisecond)
		if _, _, ok := n.machine.Lease(1, false); !ok {
			t.Error("the lease ended early")
		}
		time.Sleep(400 * time.Millisecond)
		if _, _, ok := n.machine.Lease(1, false); ok {
			t.Error("the lease ends too late")
		}
		if ticks := n.ticked(); ticks < 10 || ticks > 40 {
			t.Errorf("%d ticks", ticks)
		}
	})
}

func TestKeepAlivesShareATick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNode(t)
		k := n.start()
		defer k.stop()
		n.grant(k, 1, time.Second)
		n.grant(k, 2, time.Minute)
		var mu sync.Mutex
		answers := map[int64]int64{}
		for round := range 5 {
			for id := range int64(100) {
				k.KeepAlive(id, func(ttl int64, err error) {
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					answers[id] = ttl
				})
			}
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			if len(answers) != 100 || answers[1] != int64(time.Second) || answers[2] != int64(time.Minute) || answers[3] != 0 {
				t.Fatalf("round %d: %v", round, answers)
			}
			clear(answers)
		}
		if n.ticked() > 5*10 {
			t.Errorf("%d ticks for 500 keep-alives", n.ticked())
		}
	})
}

func TestKeepAlivesOfAnotherMemberAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNode(t)
		k := n.start()
		n.hang(true)
		n.grant(k, 1, time.Minute)
		var ended []error
		keepAlive := func() { k.KeepAlive(1, func(_ int64, err error) { ended = append(ended, err) }) }
		leader := func(err error) raft.NodeID {
			var e *rsm.NotLeaderError
			if !errors.As(err, &e) {
				t.Fatalf("refused with %v", err)
			}
			return e.Leader
		}
		keepAlive()
		synctest.Wait()
		keepAlive()
		n.lead(0, 3)
		if len(ended) != 2 || leader(ended[0]) != 3 || leader(ended[1]) != 3 {
			t.Errorf("when the leadership is lost: %v", ended)
		}
		keepAlive()
		if _, err := k.Stamp(); len(ended) != 3 || leader(ended[2]) != 3 || leader(err) != 3 {
			t.Errorf("elsewhere: %v, a stamp gets %v", ended, err)
		}
		n.hang(false)
		n.lead(5, 1)
		keepAlive()
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if len(ended) != 4 || ended[3] != nil {
			t.Errorf("as leader again: %v", ended)
		}
		n.hang(true)
		keepAlive()
		synctest.Wait()
		keepAlive()
		k.stop()
		if len(ended) != 6 || ended[4] == nil || ended[5] == nil {
			t.Errorf("when the replica stops: %v", ended)
		}
	})
}

func TestKeepAlivesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNode(t)
		k := n.start()
		defer k.stop()
		n.hang(true)
		busy, ended := 0, 0
		for range maxKeepAlives + 10 {
			k.KeepAlive(1, func(_ int64, err error) {
				ended++
				if errors.Is(err, rsm.ErrBusy) {
					busy++
				}
			})
		}
		synctest.Wait()
		if busy != 10 || ended != 10 {
			t.Errorf("%d are refused, %d have ended", busy, ended)
		}
	})
}

func TestKeepAlivesOfOneRequestAreAnsweredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNode(t)
		k := n.start()
		defer k.stop()
		n.grant(k, 1, 2*time.Second)
		n.grant(k, 2, 3*time.Second)
		type answer struct {
			ttls []int64
			err  error
		}
		answers := make(chan answer, 3)
		keep := func(leases ...int64) answer {
			k.KeepAllAlive(leases, func(ttls []int64, err error) { answers <- answer{ttls, err} })
			return <-answers
		}
		if a := keep(2, 7, 1); a.err != nil || len(a.ttls) != 3 || a.ttls[0] != int64(3*time.Second) || a.ttls[1] != 0 || a.ttls[2] != int64(2*time.Second) {
			t.Errorf("got %v", a)
		}
		// More than may wait: one refusal, and none of the answers to those that had room.
		if a := keep(make([]int64, maxKeepAlives+1)...); !errors.Is(a.err, rsm.ErrBusy) {
			t.Errorf("got %d times to live, %v", len(a.ttls), a.err)
		}
		time.Sleep(time.Second)
		n.lead(0, 2)
		if a := keep(1, 2); !errors.Is(a.err, rsm.ErrWrongLeader) {
			t.Errorf("got %v", a)
		}
		synctest.Wait()
		if len(answers) != 0 {
			t.Errorf("a second answer: %v", <-answers)
		}
	})
}

// A keep-alive that comes when the clock has stopped is answered, also if its node leads only from then on.
func TestAStoppedClockAnswersKeepAlives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNode(t)
		n.lead(0, 2)
		k := n.start()
		k.stop()
		n.lead(2, 1)
		answers := 0
		refused := func(err error) {
			if answers++; !errors.Is(err, rsm.ErrWrongLeader) {
				t.Errorf("answered with %v", err)
			}
		}
		k.KeepAlive(1, func(_ int64, err error) { refused(err) })
		k.KeepAllAlive([]int64{1, 2}, func(_ []int64, err error) { refused(err) })
		if synctest.Wait(); answers != 2 {
			t.Errorf("%d of 2 are answered", answers)
		}
	})
}
