package logtime

import (
	"errors"
	"fmt"
)

var (
	// ErrNotLeader ends a keep-alive at a node that does not lead, or no longer. It may have been
	// executed. To send it to the leader again does no harm.
	ErrNotLeader = errors.New("logtime: this node does not lead")

	// ErrBusy refuses a keep-alive beyond Config.MaxKeepAlives.
	ErrBusy = errors.New("logtime: too many keep-alives wait")
)

// Config is how a Timekeeper works.
type Config struct {
	ElectionTimeout int64 // nanoseconds
	// MaxKeepAlives is how many may wait at a time, those in the command on its way included. All
	// of them may be in one command, with 8 bytes each.
	MaxKeepAlives int
}

// Tick is the command that carries time on: a replica's table executes it so, in this order.
//
//	Advance(Stamp); remaining = KeepAlive(Leases); Expire(Stamp.Log, a fixed budget)
//
// The keep-alives are in it because a leader must not expire a lease whose keep-alive it has. Two
// commands, proposed one after the other, would leave that to the order in which they are taken:
// the first may be refused by a full queue, and the second not.
type Tick struct {
	Number uint64 // for Done
	Stamp  Stamp
	Leases []int64
}

// View is what a Timekeeper sees of the replica's table. It may be late.
type View struct {
	Now Time // the table's clock
	// Due: there is a lease to expire at Now. The Tick before had no room for it.
	Due bool
	// Running: there are leases, or records were written since the last stamp. Otherwise no
	// time has to pass, and an idle cluster writes nothing.
	Running bool
}

// Answer is the end of keep-alives.
type Answer[Token any] struct {
	Tokens []Token
	// Remaining is how long each lease lives now in nanoseconds, 0 if it does not exist.
	Remaining []int64 // nil with Err
	Err       error   // ErrNotLeader, or nil
}

// Effects is what the shell does after Turn.
type Effects[Token any] struct {
	Propose *Tick // to be proposed; Done tells what came of it
	Answers []Answer[Token]
	Wake    Instant // when to call Turn next at the latest
}

// Timekeeper decides when a leader proposes a Tick, and what is in it:
//
//	BecameLeader, LostLeadership ─┐                ┌─► a Tick to propose
//	KeepAlive ────────────────────┼──► Turn(now) ──┼─► answers to keep-alives
//	Done ─────────────────────────┘                └─► when to wake
//
// The shell calls Turn after each of the others, and carries out its effects. One Tick is on its
// way at a time. Keep-alives that come meanwhile wait for the next one, so a
// busy leader has large ones. A Tick is proposed
//
//   - at once if keep-alives wait, or if the table still has leases that are due;
//   - else each quarter of an election timeout, while there are leases or new records.
//
// A Tick that failed is proposed again after a pause, for as long as the node leads: a lease whose
// expiry was refused must not live for ever.
//
// A lease that is not kept alive any more ends at most a quarter of an election timeout and the
// time of two commits after its time, and the Ticks that are needed for those before it. That is
// by log time. Log time itself is late by the time in which no node leads, or nothing commits for
// three quarters of an election timeout, and by what the last leader had not committed of it.
type Timekeeper[Token any] struct {
	cfg   Config
	clock Clock

	waiting batch[Token] // with sent at most cfg.MaxKeepAlives
	sent    batch[Token] // in the Tick that is on its way
	onWay   bool
	number  uint64 // of the latest Tick

	answers  []Answer[Token]
	proposed Instant // when the latest Tick was proposed, or the leadership began
	earliest Instant // for the next Tick, after one that failed
}

// batch is keep-alives in the order in which they came.
type batch[Token any] struct {
	leases []int64
	tokens []Token
}

// NewTimekeeper returns a Timekeeper of a node that does not lead.
func NewTimekeeper[Token any](cfg Config) *Timekeeper[Token] {
	if cfg.ElectionTimeout < fractions || cfg.MaxKeepAlives < 1 {
		panic(fmt.Sprintf("logtime: bad configuration %+v", cfg))
	}
	return &Timekeeper[Token]{cfg: cfg, clock: NewClock(cfg.ElectionTimeout)}
}

// fractions of an election timeout: the period of Ticks is a quarter, the pause after one that
// failed a sixteenth.
const fractions = 16

func (k *Timekeeper[Token]) period() Instant { return Instant(k.cfg.ElectionTimeout / 4) }
func (k *Timekeeper[Token]) pause() Instant  { return Instant(k.cfg.ElectionTimeout / fractions) }

// BecameLeader begins a leadership, also where the one before ended without word. Each term that the
// node leads is a leadership of its own. A shell that only compares whether the node leads may miss
// that it lost a term and won a later one; then the clock would go on with what it counted in between,
// and leases that another leader granted could end early.
func (k *Timekeeper[Token]) BecameLeader(now Instant, v View) {
	k.LostLeadership()
	k.clock.BecameLeader(now, v.Now)
	k.proposed, k.earliest = now, now
}

// LostLeadership ends all keep-alives. What comes of a Tick that is on its way is of no interest
// any more.
func (k *Timekeeper[Token]) LostLeadership() {
	k.clock.LostLeadership()
	k.end(k.sent.tokens, nil, ErrNotLeader)
	k.end(k.waiting.tokens, nil, ErrNotLeader)
	k.sent, k.waiting, k.onWay = batch[Token]{}, batch[Token]{}, false
}

// KeepAlive takes in a keep-alive. The next Turn or a later one answers it, unless the error is
// ErrNotLeader or ErrBusy.
func (k *Timekeeper[Token]) KeepAlive(lease int64, token Token) error {
	switch {
	case !k.clock.leading:
		return ErrNotLeader
	case len(k.waiting.leases)+len(k.sent.leases) >= k.cfg.MaxKeepAlives:
		return ErrBusy
	}
	k.waiting.leases = append(k.waiting.leases, lease)
	k.waiting.tokens = append(k.waiting.tokens, token)
	return nil
}

// Stamp returns the stamp for another command that needs one, a Grant for example, if the node
// leads. A stamp is for one command, which is proposed at once, and in the term that it was taken in.
func (k *Timekeeper[Token]) Stamp(now Instant, wall int64) (Stamp, bool) {
	log, ok := k.clock.Now(now)
	return Stamp{Log: log, Wall: wall}, ok
}

// Done tells what came of a Tick. With err it was refused, or its fate is not known; otherwise
// remaining is what KeepAlive of the table returned, the same number as there were leases.
func (k *Timekeeper[Token]) Done(now Instant, number uint64, remaining []int64, err error) {
	if !k.onWay || number != k.number {
		return // of an earlier leadership
	}
	k.onWay = false
	if err != nil {
		k.waiting.leases = append(k.sent.leases, k.waiting.leases...)
		k.waiting.tokens = append(k.sent.tokens, k.waiting.tokens...)
		k.earliest = now + k.pause()
	} else {
		if len(remaining) != len(k.sent.leases) {
			panic(fmt.Sprintf("logtime: %d results for %d keep-alives", len(remaining), len(k.sent.leases)))
		}
		k.end(k.sent.tokens, remaining, nil)
	}
	k.sent = batch[Token]{}
}

// Turn decides what to do now. wall is the wall clock, for the stamp.
func (k *Timekeeper[Token]) Turn(now Instant, wall int64, v View) Effects[Token] {
	e := Effects[Token]{Answers: k.answers, Wake: now + k.period()}
	k.answers = nil
	k.clock.Executed(now, v.Now)
	stamp, leading := k.Stamp(now, wall)
	if !leading || k.onWay {
		return e
	}
	next := k.next(now, v)
	if next > now {
		e.Wake = min(e.Wake, next)
		return e
	}
	k.number++
	k.sent, k.waiting = k.waiting, batch[Token]{}
	k.onWay, k.proposed = true, now
	e.Propose = &Tick{Number: k.number, Stamp: stamp, Leases: k.sent.leases}
	return e
}

// next is when the next Tick is to be proposed, if nothing else happens.
func (k *Timekeeper[Token]) next(now Instant, v View) Instant {
	switch {
	case len(k.waiting.leases) > 0 || v.Due:
		return max(now, k.earliest)
	case v.Running:
		return max(k.proposed+k.period(), k.earliest)
	}
	return now + k.period()
}

func (k *Timekeeper[Token]) end(tokens []Token, remaining []int64, err error) {
	if len(tokens) > 0 {
		k.answers = append(k.answers, Answer[Token]{tokens, remaining, err})
	}
}
