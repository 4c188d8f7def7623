package clerk

//balsa:pure

import "balsa.example/api"

// Watcher is the state machine of one watch: it says which server to watch at and from which
// revision on, and which of the events that come are to be handed out. Its shell does what a
// step says, and tells the Watcher the result:
//
//	step := w.Start()
//	for step.Action != End {
//		Ask:     make a watcher at the server        -> w.Update(its first answer), or w.Lost()
//		Listen:  wait for what it is told            -> w.Update(update), w.Lost() or w.Paused()
//		Wait:    let the time pass                   -> w.WaitDone()
//	}
//
// What is handed out is exactly what happened from the first revision on, each event once and
// in order, whichever servers it comes from:
//
//	next          is the first revision that was not handed out
//	Ask           names next as the first revision, and a server sends nothing below it: also
//	              one that lags behind, which sends nothing until it has come to next
//	EVENTS        below next are dropped, and next moves behind those that are handed out
//	PROGRESS R    says that there is nothing up to R: next moves behind R
//	lost          the next server is asked for what follows
//	COMPACTED     ends the watch: some of what follows next is gone
//
// A revision that a server sends in parts is handed out when it is complete. Parts are dropped
// when the server is lost.
//
// A watch from now on begins behind the revision of the server's first answer, but never at or
// below one that the Clerk has seen: a server that lags behind would begin in the Clerk's past.
type Watcher struct {
	route *Route
	rand  Rand
	pace  Pace

	next    uint64 // 0: from now on, and no server has answered yet
	floor   uint64 // the revision that the Clerk had seen at the beginning
	server  int
	created bool // the server has made the watcher
	parts   []*api.Event

	tried uint64 // set of the servers asked since the last event, mark or Wait
	waits int    // since the last event or mark

	refusal *api.WatchUpdate // why it is over
}

// Listen is what a WatchStep may want besides Ask, Wait and End: the next update.
const Listen = End + 1

// WatchStep is what a Watcher wants done next.
type WatchStep struct {
	Action   Action
	Server   int    // Ask: its number in the Route
	Revision uint64 // Ask: the first one; 0: from now on
	Nanos    int64  // Ask, Wait
}

// Delivery is what an update lets a Watcher hand out: all events of one revision, or none of a
// progress mark.
type Delivery struct {
	Revision uint64
	Events   []*api.Event
}

// NewWatcher returns the Watcher of a watch that begins at a revision; 0: now.
func NewWatcher(route *Route, rand Rand, pace Pace, revision uint64) Watcher {
	return Watcher{route: route, rand: rand, pace: pace, next: revision, floor: route.revision}
}

// Start returns the first step.
func (w *Watcher) Start() WatchStep { return w.ask(w.route.nearest) }

// Refusal is why the watch is over, when a step has said End: REFUSED or CANCELED.
func (w *Watcher) Refusal() *api.WatchUpdate { return w.refusal }

// Update takes what a server has told. What is to be handed out is appended to deliveries.
func (w *Watcher) Update(u *api.WatchUpdate, deliveries []Delivery) ([]Delivery, WatchStep) {
	switch u.GetKind() {
	case api.WatchUpdate_CREATED:
		if w.create(u.GetRevision()) {
			deliveries = append(deliveries, Delivery{Revision: w.next - 1})
		}
	case api.WatchUpdate_EVENTS:
		for _, b := range u.GetBatches() {
			if d, ok := w.batch(b); ok {
				deliveries = append(deliveries, d)
			}
		}
	case api.WatchUpdate_PROGRESS:
		if w.created && u.GetRevision() >= w.next {
			w.advance(u.GetRevision())
			deliveries = append(deliveries, Delivery{Revision: u.GetRevision()})
		}
	default:
		return deliveries, w.refused(u)
	}
	return deliveries, WatchStep{Action: Listen}
}

// create notes that there is a watcher. It returns true if that tells where the watch begins.
func (w *Watcher) create(revision uint64) bool {
	w.created = true
	w.route.Reached(revision)
	w.route.served(w.server, true)
	if w.next > 0 {
		return false
	}
	w.next = max(revision, w.floor) + 1
	return true
}

// batch takes a batch, and returns the revision that it completes.
func (w *Watcher) batch(b *api.EventBatch) (d Delivery, ok bool) {
	if !w.created || b.GetRevision() < w.next {
		return d, false
	}
	if b.GetMore() {
		w.parts = append(w.parts, b.GetEvents()...)
		return d, false
	}
	d = Delivery{Revision: b.GetRevision(), Events: b.GetEvents()}
	if len(w.parts) > 0 {
		d.Events = append(w.parts, d.Events...)
		w.parts = nil
	}
	w.advance(d.Revision)
	return d, true
}

// advance notes that everything up to a revision was handed out.
func (w *Watcher) advance(revision uint64) {
	w.route.Reached(revision)
	w.next = revision + 1
	w.tried, w.waits = 1<<w.server, 0
}

// refused takes an answer that ends the watcher at its server.
func (w *Watcher) refused(u *api.WatchUpdate) WatchStep {
	switch {
	case u.GetCode() == api.Reply_COMPACTED && u.GetCompacted() > w.next,
		u.GetCode() == api.Reply_INVALID, ofTheUser(u.GetCode()):
		w.refusal = u
		return WatchStep{Action: End}
	}
	return w.Lost()
}

// Lost says that the server tells no more, or gave no answer in time.
func (w *Watcher) Lost() WatchStep {
	w.route.failed(w.server)
	w.parts, w.created = nil, false
	n := w.route.Len()
	for i := 1; i < n; i++ {
		if s := (w.server + i) % n; w.tried&(1<<s) == 0 && w.route.asked(s) {
			return w.ask(s)
		}
	}
	nanos := w.pace.wait(w.waits, w.rand)
	w.waits++
	return WatchStep{Action: Wait, Nanos: nanos}
}

// WaitDone says that the time of a Wait is over.
func (w *Watcher) WaitDone() WatchStep {
	w.tried = 0
	return w.ask(w.route.after(w.server))
}

// Paused says that so much came that the watcher was ended for the time being. What follows is
// asked for anew.
func (w *Watcher) Paused() WatchStep {
	w.parts, w.created = nil, false
	return w.ask(w.server)
}

func (w *Watcher) ask(server int) WatchStep {
	w.server = server
	w.tried |= 1 << server
	return WatchStep{Action: Ask, Server: server, Revision: w.next, Nanos: w.pace.AttemptNanos}
}
