package logtime_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

// world is a cluster in which only time, leases and leaders count. Raft is replaced by what it
// promises: at most one leader can commit, a new one begins with a prefix of what the last one
// proposed, and a deposed one commits nothing, but does not know it at once. Clients see real time.
// The clocks of servers run at half to twice its speed.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	now      int64 // real time
	log      []entry
	proposed []entry // by the leader, not committed yet
	servers  []*server
	leader   *server // who can commit; nil: none
	latency  int64   // from a proposal to its commit
	stalled  bool    // nothing commits
	clients  []*client
	truth    *lease.Table      // of all that is committed
	renewed  map[int64]renewal // what the log says of each lease
	expired  map[int64]int64   // when, in real time
	budget   int
	refuses  bool // some Ticks, as a full queue would
}

type renewal struct{ issued, ttl int64 }

type entry struct {
	issued int64 // real time
	by     *server
	tick   *logtime.Tick // else a Grant
	stamp  logtime.Stamp
	id     int64
	ttl    int64
}

type server struct {
	keeper  *logtime.Timekeeper[*client]
	table   *lease.Table
	applied int
	rate    float64
	believe bool
	until   int64 // when a deposed leader learns of it
}

// client holds a lease. It renews it each third of its time to live, and again soon after an
// error.
type client struct {
	id, ttl int64
	next    int64 // when it renews
	waits   bool  // for an answer
	stopped bool
	lost    bool // it was told that the lease does not exist
}

func newWorld(t *testing.T, seed uint64, servers int) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), latency: 3 * ms, budget: 1000,
		truth: newTable(t), renewed: map[int64]renewal{}, expired: map[int64]int64{},
	}
	for range servers {
		k := logtime.NewTimekeeper[*client](logtime.Config{ElectionTimeout: electionTimeout, MaxKeepAlives: 1000})
		w.servers = append(w.servers, &server{keeper: k, table: newTable(t), rate: 1})
	}
	return w
}

func newTable(t *testing.T) *lease.Table {
	table, err := lease.NewTable(lease.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (s *server) instant(real int64) logtime.Instant { return logtime.Instant(float64(real) * s.rate) }

// fastest is the rate of the fastest clock.
func (w *world) fastest() (rate float64) {
	for _, s := range w.servers {
		rate = max(rate, s.rate)
	}
	return rate
}

func (s *server) view() logtime.View {
	return logtime.View{Now: s.table.Stamp().Log, Due: s.table.Due(s.table.Stamp().Log), Running: s.table.Len() > 0}
}

// lead makes s the leader, with a prefix of what the one before had proposed.
func (w *world) lead(s *server) {
	w.depose(electionTimeout)
	w.leader, s.believe = s, true
	s.keeper.BecameLeader(s.instant(w.now), s.view())
}

// depose ends the leadership. The old leader learns of it within so many nanoseconds.
func (w *world) depose(within int64) {
	if w.leader != nil {
		w.leader.until = w.now + w.rng.Int64N(within)
		w.proposed = w.proposed[:w.rng.IntN(len(w.proposed)+1)]
		w.leader = nil
	}
}

func (w *world) propose(s *server, e entry) {
	e.issued, e.by = w.now, s
	if s == w.leader {
		w.proposed = append(w.proposed, e)
	}
}

// grant lets the leader propose a new lease.
func (w *world) grant(id, ttl int64) {
	stamp, ok := w.leader.keeper.Stamp(w.leader.instant(w.now), 0)
	if !ok {
		w.t.Fatal("the leader has no stamp")
	}
	w.propose(w.leader, entry{stamp: stamp, id: id, ttl: ttl})
	w.clients = append(w.clients, &client{id: id, ttl: ttl, next: w.now + ttl/3})
}

// step lets some real time pass.
func (w *world) step(nanos int64) {
	w.now += nanos
	w.commit()
	for _, c := range w.clients {
		if w.now >= c.next && !c.waits && !c.stopped && !c.lost {
			w.renew(c)
		}
	}
	for _, s := range w.servers {
		if s.believe && s != w.leader && w.now >= s.until {
			s.believe = false
			s.keeper.LostLeadership()
		}
		if s == w.leader || w.rng.IntN(4) == 0 {
			w.apply(s)
		}
		w.turn(s)
	}
}

func (w *world) renew(c *client) {
	s := w.servers[w.rng.IntN(len(w.servers))]
	if w.leader != nil && w.rng.IntN(4) > 0 {
		s = w.leader
	}
	c.next = w.now + 20*ms
	c.waits = s.keeper.KeepAlive(c.id, c) == nil
}

func (w *world) turn(s *server) {
	e := s.keeper.Turn(s.instant(w.now), 0, s.view())
	for _, a := range e.Answers {
		for i, c := range a.Tokens {
			c.waits = false
			if a.Err == nil {
				c.lost = a.Remaining[i] == 0
				c.next = w.now + c.ttl/3
			}
		}
	}
	if e.Propose == nil {
		return
	}
	if w.refuses && w.rng.IntN(20) == 0 {
		s.keeper.Done(s.instant(w.now), e.Propose.Number, nil, errors.New("refused"))
		return
	}
	w.propose(s, entry{tick: e.Propose, stamp: e.Propose.Stamp})
}

func (w *world) commit() {
	for !w.stalled && w.leader != nil && len(w.proposed) > 0 && w.proposed[0].issued+w.latency <= w.now {
		e := w.proposed[0]
		w.proposed = w.proposed[1:]
		w.log = append(w.log, e)
		w.truth.Advance(e.stamp)
		if e.tick == nil {
			if err := w.truth.Grant(e.id, e.ttl, false); err != nil {
				w.t.Fatal(err)
			}
			w.renewed[e.id] = renewal{e.issued, e.ttl}
			continue
		}
		for i, left := range w.truth.KeepAlive(e.tick.Leases, nil) {
			if id := e.tick.Leases[i]; left > 0 {
				w.renewed[id] = renewal{e.issued, w.renewed[id].ttl}
			}
		}
		for _, ended := range w.truth.Expire(e.stamp.Log, w.budget) {
			w.expired[ended.ID] = w.now
			r := w.renewed[ended.ID]
			if counted := float64(e.issued-r.issued) * w.fastest(); counted+1000 < float64(r.ttl) {
				w.t.Errorf("lease %d of %d ms expired %d ms after it was renewed", ended.ID, r.ttl/ms, (e.issued-r.issued)/ms)
			}
		}
	}
}

func (w *world) apply(s *server) {
	for ; s.applied < len(w.log); s.applied++ {
		e := w.log[s.applied]
		s.table.Advance(e.stamp)
		if e.tick == nil {
			s.table.Grant(e.id, e.ttl, false)
			continue
		}
		remaining := s.table.KeepAlive(e.tick.Leases, nil)
		s.table.Expire(e.stamp.Log, w.budget)
		if e.by == s {
			s.keeper.Done(s.instant(w.now), e.tick.Number, remaining, nil)
		}
	}
}

func (w *world) run(nanos int64) {
	for end := w.now + nanos; w.now < end; {
		w.step(5 * ms)
	}
}

// alive fails the test unless all leases are there.
func (w *world) alive() {
	w.t.Helper()
	if w.truth.Len() != len(w.clients) {
		w.t.Fatalf("%d of %d leases are left", w.truth.Len(), len(w.clients))
	}
}

const second = 1000 * ms

// The bounds of how late a lease may be where one leader leads: a period of Ticks, two commits,
// and the steps of this world.
const late = period + 2*3*ms + 4*5*ms

func TestLeaseEndsAtItsTimeUnderASteadyLeader(t *testing.T) {
	w := newWorld(t, 1, 3)
	w.lead(w.servers[0])
	w.run(3 * second)
	for id := int64(1); id <= 100; id++ {
		w.grant(id, 2*second+id*10*ms)
		w.run(5 * ms)
	}
	w.run(20 * second)
	w.alive()
	for _, c := range w.clients {
		c.stopped = true
	}
	w.run(10 * second)
	for id, r := range w.renewed {
		if after := w.expired[id] - r.issued; after < r.ttl || after > r.ttl+late {
			t.Errorf("lease %d of %d ms ended after %d ms", id, r.ttl/ms, after/ms)
		}
	}
}

// Two disks hang, heartbeats flow: the leader stays, and commits nothing for 30 s.
func TestStallExpiresNobody(t *testing.T) {
	w := newWorld(t, 2, 3)
	w.lead(w.servers[0])
	for id := int64(1); id <= 50; id++ {
		w.grant(id, 3*second)
		w.run(40 * ms)
	}
	for range 3 {
		w.stalled = true
		w.run(30 * second)
		w.stalled = false
		w.run(10 * second)
		w.alive()
	}
}

func TestLeaderChangesNeitherShortenNorResetALease(t *testing.T) {
	w := newWorld(t, 3, 3)
	w.lead(w.servers[0])
	w.grant(1, 60*second)
	w.run(second)
	w.clients[0].stopped = true
	const gap, term = 200 * ms, second
	changes := int64(0)
	for ; w.expired[1] == 0; changes++ {
		if changes > 200 {
			t.Fatal("elections keep a lease alive for ever")
		}
		w.depose(electionTimeout)
		w.run(gap)
		w.lead(w.servers[changes%3])
		w.run(term)
	}
	// For each change of the leader: the time without one, and what the last one had not committed.
	bound := 60*second + changes*(gap+period+20*ms) + late
	if after := w.expired[1] - w.renewed[1].issued; after < 60*second || after > bound {
		t.Errorf("ended after %d ms and %d leaders, bound %d ms", after/ms, changes, bound/ms)
	}
}

// TestManyLeasesThatExpireAtOnceGoInSteps has 5,000 leases, and 10 in a step.
func TestManyLeasesThatExpireAtOnceGoInSteps(t *testing.T) {
	w := newWorld(t, 4, 1)
	w.budget = 10
	w.lead(w.servers[0])
	for id := int64(1); id <= 5000; id++ {
		w.grant(id, second)
	}
	for _, c := range w.clients {
		c.stopped = true
	}
	w.run(second)
	w.alive()
	w.run(500*2*5*ms + period)
	if w.truth.Len() != 0 {
		t.Errorf("%d leases are left", w.truth.Len())
	}
}

// TestNoLeaseIsEarlyUnderFaults draws leaders, clocks, stalls and refusals. commit checks each
// expiry.
func TestNoLeaseIsEarlyUnderFaults(t *testing.T) {
	ended := 0
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, seed, 3)
			w.refuses = true
			for _, s := range w.servers {
				s.rate = 0.5 + 1.5*w.rng.Float64()
			}
			w.lead(w.servers[0])
			for id := int64(1); w.now < 120*second; {
				w.fault()
				if w.leader != nil && len(w.clients) < 200 && w.rng.IntN(20) == 0 {
					w.grant(id, second+w.rng.Int64N(10*second))
					id++
				}
				for _, c := range w.clients {
					c.stopped = c.stopped || w.rng.IntN(4000) == 0
				}
				w.step(w.rng.Int64N(20 * ms))
			}
			w.settle()
			ended += len(w.expired)
		})
	}
	if ended < 1000 {
		t.Errorf("%d leases have ended: nothing was tested", ended)
	}
}

func (w *world) fault() {
	switch w.rng.IntN(300) {
	case 0:
		w.lead(w.servers[w.rng.IntN(len(w.servers))])
	case 1:
		w.depose(electionTimeout)
	case 2:
		w.stalled = !w.stalled
	case 3:
		w.latency = w.rng.Int64N(electionTimeout * 3 / 2)
	}
	if w.leader == nil && w.rng.IntN(100) == 0 {
		w.lead(w.servers[w.rng.IntN(len(w.servers))])
	}
}

// settle stops clients and faults. All leases must end, and all servers agree.
func (w *world) settle() {
	w.lead(w.servers[0])
	w.latency, w.stalled, w.refuses = 3*ms, false, false
	for _, c := range w.clients {
		c.stopped = true
	}
	w.run(11*2*second + late*2)
	if w.truth.Len() != 0 {
		w.t.Errorf("%d leases are left", w.truth.Len())
	}
	for i, s := range w.servers {
		if w.apply(s); s.table.Hash() != w.truth.Hash() {
			w.t.Errorf("server %d differs", i)
		}
	}
}
