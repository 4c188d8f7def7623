package sim

import (
	"errors"
	"maps"
	"slices"
	"time"

	"balsa.example/internal/check/history"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// timekeeping is the shell of a leader's logtime.Timekeeper.
type timekeeping struct {
	keeper *logtime.Timekeeper[func(ttl int64, err error)]
	term   raft.Term // in which the node leads, as the keeper has been told; 0: it does not
	turn   int       // number of the latest wake-up; earlier ones are ignored
}

// maxKeepAlives is small, so that keepers are busy at times.
const maxKeepAlives = 3

func (n *node) startTimekeeping(timeout time.Duration) {
	n.time = timekeeping{keeper: logtime.NewTimekeeper[func(int64, error)](logtime.Config{
		ElectionTimeout: int64(timeout), MaxKeepAlives: maxKeepAlives,
	})}
}

func (n *node) instant() logtime.Instant { return logtime.Instant(n.now()) }

// view is what the keeper sees of the machine.
func (n *node) view() logtime.View {
	switch m := n.machine.(type) {
	case *state.Machine:
		v, written := m.TimeView()
		v.Running = v.Running || written
		return v
	case withSnapshots:
		return m.m.view()
	}
	panic("unknown machine")
}

// view always runs, so that there are stamps although nothing else is to be done.
func (m *imaged) view() logtime.View {
	at, ok := m.NextExpiry()
	return logtime.View{Now: logtime.Time(m.Clock()), Due: ok && at <= m.Clock(), Running: ok}
}

// leadership tells the keeper whether the node leads.
func (n *node) leadership() {
	v := &n.w.check.views[n.id]
	leads := raft.Term(0)
	if v.role == raft.Leader && !n.witness {
		leads = v.hard.Term
	}
	if leads == n.time.term {
		return
	}
	if n.time.term = leads; leads == 0 {
		n.time.keeper.LostLeadership()
	} else {
		n.time.keeper.BecameLeader(n.instant(), n.view())
	}
	n.keepTime()
}

// keepTime gives the keeper its turn.
func (n *node) keepTime() {
	k := &n.time
	e := k.keeper.Turn(n.instant(), int64(n.w.now), n.view())
	k.turn++
	turn := k.turn
	if n.time.term != 0 {
		n.after(n.clock.real(time.Duration(e.Wake-n.instant()))+1, func() {
			if k.turn == turn {
				n.keepTime()
			}
		})
	}
	for _, a := range e.Answers {
		for i, done := range a.Tokens {
			if a.Err != nil {
				done(0, a.Err)
			} else {
				done(a.Remaining[i], nil)
			}
		}
	}
	if t := e.Propose; t != nil {
		n.w.check.counts.Ticks++
		c := more(state.More{Kind: state.KindTick, Stamp: t.Stamp, Leases: t.Leases})
		data := state.Codec{}.Append(nil, c)
		n.submit(data, &waiter{data: data, done: func(r state.Result, err error) {
			k.keeper.Done(n.instant(), t.Number, r.TTL, err)
			n.after(1, n.keepTime)
		}}, false)
	}
}

// stamp stamps a command of a caller that needs it, if the node leads.
func (n *node) stamp(c state.Command) (state.Command, bool) {
	if c.More == nil || c.More.Kind != state.KindGrant && c.More.Kind != state.KindRevoke {
		return c, true
	}
	s, ok := n.time.keeper.Stamp(n.instant(), int64(n.w.now))
	m := *c.More
	m.Stamp = s
	return state.Command{Op: c.Op, More: &m}, ok
}

// keepAlive hands a keep-alive of a caller to the keeper.
func (n *node) keepAlive(lease int64, reply func(answer)) {
	err := n.time.keeper.KeepAlive(lease, func(ttl int64, err error) {
		reply(answer{result: state.Result{TTL: []int64{ttl}}, err: err})
	})
	switch {
	case errors.Is(err, logtime.ErrBusy):
		reply(answer{err: rsm.ErrBusy})
	case err != nil:
		reply(answer{err: err})
	default:
		n.keepTime()
	}
}

// leaseLives is what is known of all leases.
type leaseLives struct {
	lives map[int64]*history.Lease
	alive map[int64]bool // in the truth
}

// granted notes a lease that a caller asks for.
func (l *leaseLives) granted(id, ttl int64) {
	l.lives[id] = &history.Lease{ID: id, TTL: ttl}
}

// forget forgets a lease that may have several lives.
func (l *leaseLives) forget(id int64) { delete(l.lives, id) }

// called notes what a call says of leases.
func (l *leaseLives) called(x *call) {
	if x.Range != nil || x.Command.More == nil {
		return
	}
	m, at := x.Command.More, history.Interval{Called: x.Called, Returned: x.Returned}
	if !x.Known {
		at.Returned = 1 << 62
	}
	switch code := x.Result.Code; m.Kind {
	case state.KindGrant:
		if life := l.lives[m.Lease]; life != nil && (!x.Known || code == kv.CodeOK) {
			life.Kept = append(life.Kept, at)
		}
	case state.KindRevoke:
		if life := l.lives[m.Lease]; life != nil && (!x.Known || code == kv.CodeOK) {
			life.Revoked = append(life.Revoked, at)
		}
	case state.KindTick:
		switch life := l.lives[m.Leases[0]]; {
		case life == nil:
		case x.Known && x.Result.TTL[0] == 0:
			life.Gone = append(life.Gone, at)
		default:
			life.Kept = append(life.Kept, at)
		}
	}
}

// committed notes the leases that a command has ended on the truth.
func (k *checker) leasesAfter(c state.Command) {
	l := &k.leaseLives
	if c.More != nil && c.More.Kind == state.KindGrant {
		if _, _, _, ok := k.truth.Lease(c.More.Lease); ok {
			l.alive[c.More.Lease] = true
		}
	}
	if len(l.alive) == len(k.truth.Leases()) {
		return
	}
	at := history.Interval{Called: int64(k.w.now), Returned: int64(k.w.now)}
	for _, id := range slices.Sorted(maps.Keys(l.alive)) {
		if _, _, _, ok := k.truth.Lease(id); !ok {
			delete(l.alive, id)
			k.counts.LeasesEnded++
			if life := l.lives[id]; life != nil {
				life.Gone = append(life.Gone, at)
			}
		}
	}
}

// stamped checks a stamp that was committed: log time goes on by no more than an election timeout,
// and by no more than the fastest clock.
func (k *checker) stamped(before, now int64) {
	if ahead := time.Duration(now - before); ahead > k.w.mix.ElectionTimeout {
		k.w.failf("log time", "a stamp is %v ahead of the one before", ahead)
	}
	if _, fastest := k.w.mix.rates(); float64(now) > float64(k.w.now)*fastest {
		k.w.failf("log time", "it is %v, after %v at most %.2f times as fast", time.Duration(now), k.w.now, fastest)
	}
}

// leases checks that no lease has ended too early, or came back.
func (k *checker) leases() {
	for _, x := range k.w.calls {
		k.leaseLives.called(x)
	}
	_, fastest := k.w.mix.rates()
	for _, id := range slices.Sorted(maps.Keys(k.leaseLives.lives)) {
		if err := history.CheckLease(k.leaseLives.lives[id], fastest-1, -1); err != nil {
			k.w.failf("lease", "%v", err)
		}
	}
}

// leasesEnd demands that all leases end in time when nobody keeps them alive any more.
func (w *world) leasesEnd() {
	w.runUntil(w.now+w.mix.ElectionTimeout, nil) // a keep-alive may wait whose caller has given up
	last, ok := w.check.truth.LastExpiry()
	if !ok {
		return
	}
	slowest, _ := w.mix.rates()
	left := time.Duration(float64(last-w.check.truth.Clock()) / slowest)
	// A quarter of an election timeout, two more for leases that float, and some commits.
	bound := left + time.Duration(float64(w.mix.ElectionTimeout)*3/4/slowest) + 2*time.Second
	start := w.now
	if !w.runUntil(start+bound, func() bool { return len(w.check.truth.Leases()) == 0 }) {
		w.failf("immortal lease", "%d leases are left after %v: %s", len(w.check.truth.Leases()), w.now-start, w.describe())
	}
}
