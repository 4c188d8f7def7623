package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"balsa.example/clerk"
)

// The kinds of outages: what a real network or a machine does, in the network of --netns.
const (
	outageSwitch = "outage: nothing passes between servers"
	outageOne    = "outage: a server is cut off"
	outageMute   = "outage: nothing that a server sends arrives"
	outagePair   = "outage: nothing passes between two servers"
	outageAway   = "outage: a machine vanishes and returns"
	outageMoved  = "outage: a machine vanishes and returns elsewhere"
	outageAll    = "outage: all machines vanish and return, some elsewhere"
)

var outageKinds = []string{outageSwitch, outageMoved, outageAway, outageOne, outageMute, outagePair, outageAll}

const (
	// Servers that can reach each other must be connected within an election timeout and
	// connectSlack.
	connectSlack = time.Second
	// electionTimeouts is how many election timeouts an election may take.
	electionTimeouts = 3
	// clerkSlack is how long a Clerk may take to find the new leader: the attempt under way, and
	// a pause.
	clerkSlack = clerk.DefaultAttemptTimeout + 250*time.Millisecond
	// noticeTimeouts is how many election timeouts pass at most before an election begins.
	noticeTimeouts = 2
)

// outageLengths returns n times from the shortest to the longest outage, each longer than
// the last by the same factor.
func (o *options) outageLengths() (all []time.Duration) {
	span := float64(o.longest) / float64(o.shortest)
	for i := range o.outages {
		at := float64(i) / float64(max(1, o.outages-1))
		all = append(all, time.Duration(float64(o.shortest)*math.Pow(span, at)))
	}
	return all
}

// outage lets the network fail for d, and demands that within an election timeout and a
// second after it has healed all servers are connected again, hear from a leader, and answer
// writes. Where the leader was lost, an election comes on top for the latter two, and for
// writes the Clerk's own pauses.
func (t *torture) outage(kind string, d time.Duration) error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	victims := t.outageVictims(kind, leader)
	began := time.Now()
	if err := t.breakDown(kind, victims); err != nil {
		return err
	}
	elects := kind != outagePair && slices.Contains(victims, leader)
	if 2*len(victims) < len(t.c.members) && d > t.minorityWithin() {
		if _, err := t.load.resumed(t.ctx, began, t.minorityWithin()); err != nil {
			return fmt.Errorf("%s, %s, the leader was %s: %w", kind, namesOf(victims), leader.name, err)
		}
	}
	t.sleep(time.Until(began.Add(d)))
	if err := t.repair(kind, victims); err != nil {
		return err
	}
	healed := time.Now()
	within := t.o.election + connectSlack
	connected, err := t.connected(healed, within)
	if err != nil {
		return fmt.Errorf("after %v of %s, %s: %w", d.Round(time.Millisecond), kind, namesOf(victims), err)
	}
	if elects {
		within += electionTimeouts * t.o.election
	}
	if err := t.followOneLeader(healed, within); err != nil {
		return fmt.Errorf("after %v of %s, %s: %w", d.Round(time.Millisecond), kind, namesOf(victims), err)
	}
	if elects {
		within += clerkSlack
	}
	took, err := t.load.resumed(t.ctx, healed, within)
	if err != nil {
		return fmt.Errorf("after %v of %s, %s, the leader was %s: %w", d.Round(time.Millisecond), kind, namesOf(victims), leader.name, err)
	}
	t.report.reconnected = append(t.report.reconnected, connected)
	t.report.stalled(kind, t.load.stalled(began))
	t.done(kind, took, "%s for %v, the leader was %s, all connected after %v",
		namesOf(victims), d.Round(time.Millisecond), leader.name, connected.Round(time.Millisecond))
	return t.load.verify(t.ctx, t.ck)
}

// minorityWithin is how soon writes must be back while a minority is away.
func (t *torture) minorityWithin() time.Duration {
	return (noticeTimeouts+electionTimeouts)*t.o.election + clerkSlack
}

// outageVictims chooses the members of an outage. If it is one, it is the leader half of the time.
func (t *torture) outageVictims(kind string, leader *member) []*member {
	others := t.c.but(leader)
	t.rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	one := leader
	if t.rng.IntN(2) == 0 {
		one = others[0]
	}
	switch kind {
	case outageSwitch, outageAll:
		return t.c.members
	case outagePair:
		return []*member{one, t.c.but(one)[0]}
	default:
		return []*member{one}
	}
}

// breakDown begins an outage. The packets of a machine that vanishes are dropped before its
// processes are killed, so that its connections are not closed.
func (t *torture) breakDown(kind string, victims []*member) error {
	var rules []string
	switch kind {
	case outageSwitch, outagePair:
		for _, a := range victims {
			for _, b := range victims {
				if a != b {
					rules = append(rules, oneWay(a, b))
				}
			}
		}
	case outageMute:
		rules = append(rules, allFrom(victims[0]))
	default:
		for _, m := range victims {
			rules = append(rules, allFrom(m), allTo(m))
		}
	}
	if err := t.c.netns.drop(rules...); err != nil {
		return err
	}
	if vanishes(kind) {
		for _, m := range victims {
			m.kill()
		}
	}
	return nil
}

func vanishes(kind string) bool {
	return kind == outageAway || kind == outageMoved || kind == outageAll
}

// repair ends an outage. Machines that have vanished return, some of them with other addresses, and
// their servers are started.
func (t *torture) repair(kind string, victims []*member) error {
	for i, m := range victims {
		if kind == outageMoved || kind == outageAll && i%2 == 0 {
			if err := t.c.netns.move(m); err != nil {
				return err
			}
		}
	}
	if err := t.c.netns.heal(); err != nil {
		return err
	}
	if vanishes(kind) {
		_, err := t.c.restart(victims...)
		return err
	}
	return nil
}

// connected watches for as long as within, and until all servers are connected with each
// other. It returns when, after healed, that was so and stayed so.
func (t *torture) connected(healed time.Time, within time.Duration) (time.Duration, error) {
	var (
		watching sync.WaitGroup
		mu       sync.Mutex
		slowest  time.Duration
		errs     []error
	)
	for _, m := range t.c.members {
		watching.Go(func() {
			took, err := t.connectedFrom(m, healed, within)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, took)
			errs = append(errs, err)
		})
	}
	watching.Wait()
	if slowest > within {
		errs = append(errs, fmt.Errorf("all servers were connected after %v, want %v", slowest.Round(time.Millisecond), within))
	}
	return slowest, errors.Join(errs...)
}

// connectedFrom is connected for the connections that m reports.
func (t *torture) connectedFrom(m *member, healed time.Time, within time.Duration) (took time.Duration, err error) {
	ck, err := clerk.New([]string{m.client}) // without connections from before the outage
	if err != nil {
		return 0, err
	}
	defer ck.Close()
	whole := false
	for deadline := healed.Add(t.o.rejoin); ; t.sleep(20 * time.Millisecond) {
		missing := t.missingConnections(ck, m)
		switch now := time.Since(healed); {
		case missing == nil && !whole:
			took, whole = now, true
		case missing != nil:
			whole = false
		}
		switch {
		case t.ctx.Err() != nil:
			return 0, t.ctx.Err()
		case whole && time.Since(healed) > within:
			return took, nil
		case time.Now().After(deadline):
			return 0, fmt.Errorf("%s is not connected with all others: %w", m.name, missing)
		}
	}
}

// followOneLeader waits until all servers follow the same leader. To be connected is not enough: a
// server may not know yet that the other side of a connection is gone.
func (t *torture) followOneLeader(healed time.Time, within time.Duration) error {
	ck, err := clerk.New(t.c.direct()) // without connections from before the outage
	if err != nil {
		return err
	}
	defer ck.Close()
	for {
		asked := time.Since(healed)
		err := t.leadersDiffer(ck)
		switch {
		case err == nil:
			return nil
		case asked > within:
			return fmt.Errorf("%v later: %w", asked.Round(time.Millisecond), err)
		}
		t.sleep(20 * time.Millisecond)
	}
}

// leadersDiffer returns an error unless all servers follow one leader.
func (t *torture) leadersDiffer(ck *clerk.Clerk) error {
	ctx, cancel := context.WithTimeout(t.ctx, time.Second)
	defer cancel()
	var leader uint64
	for i, s := range statuses(ctx, ck, t.c.members) {
		switch {
		case s.Err != nil:
			return s.Err
		case s.Status.LeaderId == 0:
			return fmt.Errorf("%s hears from no leader", t.c.members[i].name)
		case leader != 0 && s.Status.LeaderId != leader:
			return errors.New("the servers follow different leaders")
		}
		leader = s.Status.LeaderId
	}
	return nil
}

// missingConnections returns an error for each member to which m has no connection.
func (t *torture) missingConnections(ck *clerk.Clerk, m *member) error {
	ctx, cancel := context.WithTimeout(t.ctx, 500*time.Millisecond)
	defer cancel()
	s, err := ck.Status(ctx, m.client)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range s.Peers {
		if !p.Connected {
			errs = append(errs, fmt.Errorf("%s does not reach %s", m.name, p.Name))
		}
	}
	return errors.Join(errs...)
}
