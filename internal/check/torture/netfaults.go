package main

import (
	"context"
	"fmt"
	"time"
)

// The kinds of network faults.
const (
	kindCut     = "cut"
	kindReset   = "reset"
	kindDelay   = "delay"
	kindHole    = "black hole"
	kindTrickle = "trickle"
	kindCorrupt = "corrupt"
	// kindIsolated is a black hole around the leader: writes come back meanwhile.
	kindIsolated = "isolated leader"
)

var networkKinds = []string{kindCut, kindReset, kindDelay, kindHole, kindTrickle, kindCorrupt, kindIsolated}

// networkFault injects one fault into a part of the network. When it has ended, writes must
// resume soon.
func (t *torture) networkFault() error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	kind := networkKinds[t.rng.IntN(len(networkKinds))]
	at := t.drawScope(leader)
	switch kind {
	case kindCut:
		return t.hangUp(kind, at, cut)
	case kindReset:
		return t.hangUp(kind, at, reset)
	case kindCorrupt:
		return t.corrupt(leader)
	case kindIsolated:
		return t.isolate(leader)
	default:
		return t.impair(kind, at, t.drawImpairment(kind))
	}
}

// drawScope chooses a part of the network, half of the time around the leader.
func (t *torture) drawScope(leader *member) scope {
	m := leader
	if t.rng.IntN(2) == 0 {
		m = t.c.members[t.rng.IntN(len(t.c.members))]
	}
	scopes := []scope{t.c.network.clientsOf(m)}
	if others := t.c.but(m); len(others) > 0 {
		other := others[t.rng.IntN(len(others))]
		n := t.c.network
		scopes = append(scopes, n.link(m, other), n.link(other, m), n.pair(m, other), n.from(m), n.to(m), n.peersOf(m), n.allOf(m))
	}
	return scopes[t.rng.IntN(len(scopes))]
}

// drawImpairment chooses an impairment of a kind.
func (t *torture) drawImpairment(kind string) impairment {
	switch kind {
	case kindDelay:
		return impairment{delay: t.between(time.Millisecond, 100*time.Millisecond), jitter: t.between(time.Millisecond, 100*time.Millisecond)}
	case kindTrickle:
		return impairment{trickle: 1 + t.rng.IntN(64)}
	default:
		return impairment{blackHole: [][2]bool{{true, true}, {true, true}, {true, false}, {false, true}}[t.rng.IntN(4)]}
	}
}

// hangUp ends all connections of a scope. They may be made anew at once.
func (t *torture) hangUp(kind string, at scope, how ending) error {
	began := time.Now()
	at.endAll(how)
	took, err := t.load.resumed(t.ctx, began, t.o.heal)
	if err != nil {
		return fmt.Errorf("after a %s of %s: %w", kind, at.name, err)
	}
	t.done(kind, took, "%s", at.name)
	return nil
}

// impair impairs a part of the network for a while. Nothing need work meanwhile: if clients
// cannot reach the leader, no other member can take its scope.
func (t *torture) impair(kind string, at scope, i impairment) error {
	began := time.Now()
	at.set(i)
	t.sleep(t.between(300*time.Millisecond, 3*time.Second))
	at.set(impairment{})
	healed := time.Now()
	took, err := t.load.resumed(t.ctx, healed, t.o.heal)
	if err != nil {
		return fmt.Errorf("after a %s, %s, at %s: %w", kind, i, at.name, err)
	}
	t.report.stalled(kind, t.load.stalled(began))
	t.done(kind, took, "%s, %s, for %v", at.name, i, healed.Sub(began).Round(time.Millisecond))
	return nil
}

// isolate cuts the leader off from the others, which must elect another one. Clients reach all
// of them.
func (t *torture) isolate(leader *member) error {
	at := t.c.network.peersOf(leader)
	began := time.Now()
	at.set(impairment{blackHole: [2]bool{true, true}})
	took, err := t.load.resumed(t.ctx, began, 2*t.o.within)
	if err != nil {
		return fmt.Errorf("while %s was isolated: %w", leader.name, err)
	}
	t.sleep(t.between(0, 2*time.Second))
	at.set(impairment{})
	if _, err := t.load.resumed(t.ctx, time.Now(), t.o.heal); err != nil {
		return fmt.Errorf("after %s was isolated: %w", leader.name, err)
	}
	t.done(kindIsolated, took, "%s for %v", leader.name, time.Since(began).Round(time.Millisecond))
	return nil
}

// corrupt flips a bit in a message of the leader to another member, or of that member to the
// leader. The receiver must detect that and close the connection.
func (t *torture) corrupt(leader *member) error {
	others := t.c.but(leader)
	if len(others) == 0 {
		return nil
	}
	from, to := leader, others[t.rng.IntN(len(others))]
	if t.rng.IntN(2) == 0 {
		from, to = to, from
	}
	at := t.c.network.link(from, to)
	p := at.proxies[0]
	ctx, cancel := context.WithTimeout(t.ctx, t.o.heal)
	defer cancel()
	before := p.now().corrupted
	began := time.Now()
	p.corrupt(1)
	err := p.await(ctx, func(c counts) bool { return c.corrupted > before })
	p.corrupt(0)
	if err != nil {
		return fmt.Errorf("nothing goes from %s to %s: %w", from.name, to.name, err)
	}
	if err := p.await(ctx, func(c counts) bool { return c.damaged == 0 }); err != nil {
		return fmt.Errorf("%s goes on with a connection on which %s sent a damaged frame: %w", to.name, from.name, err)
	}
	noticed := time.Since(began)
	took, err := t.load.resumed(t.ctx, began, t.o.heal)
	if err != nil {
		return fmt.Errorf("after a frame from %s to %s was damaged: %w", from.name, to.name, err)
	}
	t.done(kindCorrupt, took, "a bit of what %s sent, given up by %s after %v", at.name, to.name, noticed.Round(time.Millisecond))
	return nil
}
