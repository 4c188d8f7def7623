package replica

import (
	"context"
	"sync"
	"time"

	"balsa.example/internal/wake"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// timekeeper is the goroutine around a logtime.Timekeeper. It tells it whether the replica leads
// and what became of its Ticks, and proposes these.
type timekeeper struct {
	node  clockNode
	view  func() (v logtime.View, written bool)
	began time.Time
	wake  wake.Signal
	background
	// idlePeriod is how often time is carried on where there are no leases, but writes. It is less
	// than an election timeout, so that log time does not stand still between two Ticks.
	idlePeriod logtime.Instant
	proposed   logtime.Instant // when the last Tick was; the goroutine's

	mu     sync.Mutex
	keeper *logtime.Timekeeper[keepAliveDone]
	term   raft.Term // in which the replica leads; 0: it does not
	ended  bool      // nobody would answer keep-alives any more, so that none are taken in
}

// clockNode is what a timekeeper needs of an rsm.Node.
type clockNode interface {
	LeadsIn() raft.Term
	Leader() raft.NodeID
	SubmitFunc(c state.Command, done func(state.Result, error))
}

// keepAliveDone gets what is left of a lease, 0 if there is no such lease.
type keepAliveDone func(ttl int64, err error)

// maxKeepAlives bounds the keep-alives that wait, those of one Tick included.
const maxKeepAlives = 1 << 16

func newTimekeeper(node clockNode, view func() (v logtime.View, written bool), electionTimeout time.Duration) *timekeeper {
	t := &timekeeper{
		node: node, view: view, began: time.Now(), wake: wake.New(),
		idlePeriod: logtime.Instant(electionTimeout * 3 / 4),
		keeper: logtime.NewTimekeeper[keepAliveDone](logtime.Config{
			ElectionTimeout: int64(electionTimeout), MaxKeepAlives: maxKeepAlives,
		}),
	}
	t.start(t.run)
	return t
}

func (t *timekeeper) now() logtime.Instant { return logtime.Instant(time.Since(t.began)) }

// Stamp is part of translate.Timekeeper.
func (t *timekeeper) Stamp() (logtime.Stamp, error) {
	view, _ := t.view()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.follow(view)
	stamp, leads := t.keeper.Stamp(t.now(), time.Now().UnixNano())
	if !leads {
		return stamp, t.submitError(logtime.ErrNotLeader)
	}
	return stamp, nil
}

// follow tells the Timekeeper whether the replica leads. Each term is a leadership of its own.
func (t *timekeeper) follow(view logtime.View) {
	term := t.node.LeadsIn()
	switch {
	case t.ended, term == t.term:
		return
	case term != 0:
		t.keeper.BecameLeader(t.now(), view)
	default:
		t.keeper.LostLeadership()
	}
	t.term = term
}

// KeepAlive is part of translate.Timekeeper.
func (t *timekeeper) KeepAlive(lease int64, done func(ttl int64, err error)) {
	t.mu.Lock()
	if t.node.LeadsIn() != t.term {
		view, _ := t.view()
		t.follow(view)
	}
	err := t.keeper.KeepAlive(lease, done)
	t.mu.Unlock()
	if err != nil {
		done(0, t.submitError(err))
		return
	}
	t.wake.Set()
}

// keepAlives are those of one request. Only the goroutine of the timekeeper answers them.
type keepAlives struct {
	ttls    []int64
	left    int   // without an answer
	err     error // of one of them
	refused bool  // as a whole: the request has its answer
	done    func(ttls []int64, err error)
}

// nth returns what takes the answer to one of them. The last answer is that to the request.
func (k *keepAlives) nth(i int) keepAliveDone {
	return func(ttl int64, err error) {
		k.ttls[i] = ttl
		if err != nil {
			k.err = err
		}
		if k.left--; k.left == 0 && !k.refused {
			k.done(k.ttls, k.err)
		}
	}
}

// KeepAllAlive is part of translate.Timekeeper.
func (t *timekeeper) KeepAllAlive(leases []int64, done func(ttls []int64, err error)) {
	all := &keepAlives{ttls: make([]int64, len(leases)), left: len(leases), done: done}
	t.mu.Lock()
	if t.node.LeadsIn() != t.term {
		view, _ := t.view()
		t.follow(view)
	}
	var err error
	for i := 0; i < len(leases) && err == nil; i++ {
		err = t.keeper.KeepAlive(leases[i], all.nth(i))
	}
	all.refused = err != nil // no answer can come before the lock is released
	t.mu.Unlock()
	t.wake.Set()
	if err != nil {
		done(nil, t.submitError(err))
	}
}

// submitError says it as a Submit does.
func (t *timekeeper) submitError(err error) error {
	switch err {
	case logtime.ErrNotLeader:
		return &rsm.NotLeaderError{Leader: t.node.Leader()}
	case logtime.ErrBusy:
		return rsm.ErrBusy
	}
	return err
}

func (t *timekeeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			t.end()
			return
		case <-t.wake.C():
		case <-timer.C:
		}
		timer.Reset(t.turn())
	}
}

// turn lets the Timekeeper decide, and returns when it wants to decide again at the latest.
func (t *timekeeper) turn() time.Duration {
	view, written := t.view()
	t.mu.Lock()
	now := t.now()
	view.Running = view.Running || written && now-t.proposed >= t.idlePeriod
	t.follow(view)
	e := t.keeper.Turn(now, time.Now().UnixNano(), view)
	t.mu.Unlock()
	t.answer(e.Answers)
	if e.Propose != nil {
		t.proposed = now
		t.propose(e.Propose)
	}
	return time.Duration(e.Wake - now)
}

func (t *timekeeper) propose(tick *logtime.Tick) {
	c := state.Command{More: &state.More{Kind: state.KindTick, Stamp: tick.Stamp, Leases: tick.Leases}}
	t.node.SubmitFunc(c, func(r state.Result, err error) {
		t.mu.Lock()
		t.keeper.Done(t.now(), tick.Number, r.TTL, err)
		t.mu.Unlock()
		t.wake.Set()
	})
}

func (t *timekeeper) answer(answers []logtime.Answer[keepAliveDone]) {
	for _, a := range answers {
		for i, done := range a.Tokens {
			if a.Err != nil {
				done(0, t.submitError(a.Err))
			} else {
				done(a.Remaining[i], nil)
			}
		}
	}
}

// end answers all keep-alives that wait.
func (t *timekeeper) end() {
	t.mu.Lock()
	t.ended = true
	t.keeper.LostLeadership()
	e := t.keeper.Turn(t.now(), 0, logtime.View{})
	t.mu.Unlock()
	t.answer(e.Answers)
}
