//go:build !race

// The searches run in one goroutine, where the race detector sees nothing, and take it a minute.

package clerk

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"balsa.example/api"
	"balsa.example/internal/check/naive"
	"balsa.example/kv"
)

// keyState is the part of a store that concerns one key, and how often an operation changed
// it. It does what kv.Store does, and can be copied: TestKeyStateIsTheStore compares them.
type keyState struct {
	revision                   uint64
	version, created, modified uint64 // 0: there is no key
	deleted, resent            uint64
	executed                   int // how often the operation took effect

	session sessionState
}

// sessionState is what a store remembers of the one write of a session.
type sessionState struct {
	used  bool // there is a session
	ended bool // it has ended, or has forgotten the outcome
	kept  keptOutcome
}

// keptOutcome is an outcome, without a pointer; the zero one is none.
type keptOutcome struct {
	done                                         bool
	code                                         api.Reply_Code
	version, created, modified, deleted, reached uint64
}

func (o keptOutcome) reply() *api.Reply {
	return &api.Reply{
		Code: o.code, Version: o.version, CreateRevision: o.created, ModRevision: o.modified,
		DeleteRevision: o.deleted, Revision: o.reached,
	}
}

// others are the changes that other clients can make. Each is a revision.
var others = []func(*keyState) bool{
	(*keyState).put,
	(*keyState).delete,
	func(k *keyState) bool { k.revision++; return true },                         // another key
	func(k *keyState) bool { k.revision++; k.deleted = k.revision; return true }, // one that shares deleted
	(*keyState).end,
}

func (k *keyState) put() bool {
	k.revision++
	if k.version == 0 {
		k.created = k.revision
	}
	k.version++
	k.modified = k.revision
	return true
}

func (k *keyState) delete() bool {
	if k.version == 0 {
		return false
	}
	k.revision++
	k.version, k.created, k.modified, k.deleted = 0, 0, 0, k.revision
	return true
}

// attempt is one attempt that was sent.
type attempt struct {
	unchangedSince uint64
	kind           api.Request_Attempt
	underWay       bool // it may still arrive
}

func (k *keyState) end() bool {
	ends := k.session.used && !k.session.ended
	k.session.ended = k.session.used
	return ends
}

// do executes or refuses an attempt, or returns the outcome that the session has kept.
func (k *keyState) do(remove bool, version uint64, a attempt) *api.Reply {
	switch {
	case !k.session.used:
		return k.execute(remove, version, a)
	case k.session.ended:
		return &api.Reply{Code: api.Reply_SESSION_ENDED, Revision: k.revision}
	case !k.session.kept.done:
		r := k.execute(remove, version, attempt{unchangedSince: math.MaxUint64})
		k.session.kept = keptOutcome{true, r.Code, r.Version, r.CreateRevision, r.ModRevision, r.DeleteRevision, r.Revision}
	}
	return k.session.kept.reply()
}

func (k *keyState) execute(remove bool, version uint64, a attempt) *api.Reply {
	guarded := a.kind != api.Request_FIRST || k.resent >= a.unchangedSince
	if a.kind == api.Request_RESEND {
		k.resent = k.revision
	}
	last := k.modified
	if k.version == 0 {
		last = k.deleted
	}
	code := api.Reply_OK
	switch {
	case k.version == 0 && (remove || version > 0):
		code = api.Reply_NO_KEY
	case k.version != version:
		code = api.Reply_VERSION_MISMATCH
	case guarded && last > a.unchangedSince:
		code = api.Reply_CHANGED
	case remove:
		k.executed++
		k.delete()
	default:
		k.executed++
		k.put()
	}
	r := &api.Reply{Code: code, Version: k.version, CreateRevision: k.created, ModRevision: k.modified, Revision: k.revision}
	if code != api.Reply_OK {
		r.DeleteRevision = k.deleted
	}
	return r
}

// maxAttempts is how many attempts an operation may make in a search.
const maxAttempts = 2

// search goes through all executions of an operation: all that can happen to each of its
// attempts, in every order, while others change the key, until the store is at a revision.
// It finds what can be known of the operation's outcome by an observer of all that the
// operation sent and received.
type search struct {
	t       testing.TB
	remove  bool
	version uint64
	session bool
	until   uint64
	seen    map[node]bool
	classes map[int]*class

	ids map[observed]int
	all []observed // by id, from 1 on
}

// observed is one observation of an operation, with all those before it.
type observed struct {
	before int // id of the one before; 0: none
	what   string
}

func newSearch(t testing.TB, remove bool, version uint64) *search {
	return &search{
		t: t, remove: remove, version: version, until: *everyUntil,
		seen: map[node]bool{}, classes: map[int]*class{}, ids: map[observed]int{}, all: make([]observed, 1),
	}
}

// story returns all observations up to one, as text.
func (e *search) story(id int) string {
	if id == 0 {
		return ""
	}
	return e.story(e.all[id].before) + e.all[id].what + "; "
}

// node is one state of an execution. The state of the Op follows from what it has observed.
type node struct {
	key      keyState
	sent     [maxAttempts]attempt
	observed int // an id
}

// class is all executions in which the operation observes the same.
type class struct {
	verdict string
	yes, no bool // whether the operation takes effect in some of them, and in some not
}

// state is a node with its Op.
type state struct {
	node
	route *Route
	op    Op
	step  Step
}

// observe adds an observation of the operation.
func (e *search) observe(s *state, format string, args ...any) {
	o := observed{s.observed, fmt.Sprintf(format, args...)}
	id := e.ids[o]
	if id == 0 {
		id = len(e.all)
		e.ids[o] = id
		e.all = append(e.all, o)
	}
	s.observed = id
}

// fork returns a copy, with an Op of its own.
func (s *state) fork() *state {
	c, route := *s, *s.route
	c.route, c.op.route = &route, &route
	c.op.attempts.reached = slices.Clone(c.op.attempts.reached)
	return &c
}

func told(r *api.Reply) string {
	return fmt.Sprintf("%v version %d created %d modified %d deleted %d at %d",
		r.Code, r.Version, r.CreateRevision, r.ModRevision, r.DeleteRevision, r.Revision)
}

// visit goes through all that can follow a state.
func (e *search) visit(s *state) {
	if e.seen[s.node] || s.key.revision > e.until {
		return
	}
	e.seen[s.node] = true
	if s.step.Action == End {
		e.end(s)
		return
	}
	for _, other := range others {
		if next := s.fork(); other(&next.key) {
			e.visit(next)
		}
	}
	for i, a := range s.sent {
		if a.underWay {
			e.arrive(s, i, false)
			e.arrive(s, i, true)
		}
	}
	next := s.fork()
	if s.step.Action == Wait {
		e.observe(next, "waited")
		e.step(next, next.op.WaitDone())
	} else {
		e.observe(next, "lost")
		e.step(next, next.op.Lost(true))
	}
	given := s.fork()
	e.observe(given, "given up")
	e.step(given, given.op.Cancel(s.step.Action == Ask))
}

// step does what the Op's next step says. When an attempt is sent, the operation gets to know
// the revision of the store, or does not.
func (e *search) step(s *state, step Step) {
	s.step = step
	switch {
	case step.Action != Ask:
		e.visit(s)
		return
	case step.Attempt == maxAttempts:
		return
	}
	s.sent[step.Attempt] = attempt{step.UnchangedSince, step.Kind, true}
	for _, reached := range []uint64{0, s.key.revision} {
		if next := s.fork(); reached == 0 || reached > s.route.revision {
			e.observe(next, "%v since %d, left at %d", step.Kind, step.UnchangedSince, reached)
			next.op.Sent(reached)
			e.visit(next)
		}
	}
}

// arrive lets an attempt arrive, and perhaps its reply come back.
func (e *search) arrive(s *state, i int, reply bool) {
	next := s.fork()
	next.sent[i].underWay = false
	r := next.key.do(e.remove, e.version, s.sent[i])
	switch {
	case !reply:
		e.visit(next)
	case s.step.Action == Ask && s.step.Attempt == i:
		e.observe(next, "%d: %s", i, told(r))
		e.step(next, next.op.Reply(r))
	default:
		e.observe(next, "late %d: %s", i, told(r))
		if step, ok := next.op.Late(i, r); ok {
			e.step(next, step)
		} else {
			e.visit(next)
		}
	}
}

// end notes whether the operation took effect in this execution, and in those that can
// follow.
func (e *search) end(s *state) {
	out := s.op.Outcome()
	verdict := map[Verdict]string{Maybe: "maybe", Dropped: "no", Answered: "no"}[out.Verdict]
	if out.Verdict == Answered && out.Reply.Code == api.Reply_OK {
		verdict = "yes"
	}
	c := e.classes[s.observed]
	if c == nil {
		c = &class{verdict: verdict}
		e.classes[s.observed] = c
	}
	if c.verdict != verdict {
		e.t.Fatalf("%s%s and %s", e.story(s.observed), c.verdict, verdict)
	}
	switch {
	case s.key.executed > 1:
		e.t.Fatalf("%sexecuted %d times", e.story(s.observed), s.key.executed)
	case s.key.executed > 0:
		c.yes = true
	default:
		c.no = true
		c.yes = c.yes || later(s.key, s.sent, e.remove, e.version, 4)
	}
}

// later tells whether an attempt under way can still be executed, when others change the
// key some times.
func later(k keyState, sent [maxAttempts]attempt, remove bool, version uint64, changes int) bool {
	for i, a := range sent {
		if !a.underWay {
			continue
		}
		next, rest := k, sent
		rest[i].underWay = false
		if next.do(remove, version, a); next.executed > 0 || later(next, rest, remove, version, changes) {
			return true
		}
	}
	for _, other := range others[:2] {
		if next := k; changes > 0 && other(&next) && later(next, sent, remove, version, changes-1) {
			return true
		}
	}
	return false
}

// begin starts the operation in every state of the store, with every revision that the
// Clerk may know.
func (e *search) begin() {
	stores := map[keyState]bool{}
	var past func(keyState)
	past = func(k keyState) {
		if stores[k] {
			return
		}
		stores[k] = true
		for known := uint64(emptyRevision); known <= k.revision; known++ {
			s := &state{node: node{key: k}, route: newTestRoute(e.t, maxAttempts)}
			s.route.revision = known
			e.observe(s, "knows %d", known)
			kind := api.Request_PUT
			if e.remove {
				kind = api.Request_DELETE
			}
			req := &api.Request{Kind: kind, Version: e.version}
			if e.session {
				req.Session = ofSession
			}
			s.op = NewOp(s.route, zero{}, testPace, req)
			e.step(s, s.op.Start())
		}
		for _, other := range others {
			if next := k; k.revision < e.until && other(&next) {
				past(next)
			}
		}
	}
	past(keyState{revision: emptyRevision, session: sessionState{used: e.session}})
}

// truth is the best verdict on a class.
func (c *class) truth() string {
	switch {
	case c.yes && c.no:
		return "maybe"
	case c.yes:
		return "yes"
	default:
		return "no"
	}
}

// everyUntil is high enough for an old key to be put, deleted and created again by the
// operation and others. Each further revision takes four times as long.
var everyUntil = flag.Uint64("every", 5, "at which store revision TestEveryVerdictIsTheBest ends")

// TestEveryVerdictIsTheBest: the Clerk says maybe if and only if the operation took, or may
// take, effect in one execution in which it observes the same, and in another not.
func TestEveryVerdictIsTheBest(t *testing.T) { everyVerdict(t, false, *everyUntil) }

// TestEveryVerdictInASessionIsTheBest: the same of writes of a session, which may end at any
// time.
func TestEveryVerdictInASessionIsTheBest(t *testing.T) { everyVerdict(t, true, *everyUntil-1) }

func everyVerdict(t *testing.T, session bool, until uint64) {
	for _, remove := range []bool{false, true} {
		for version := range uint64(3) {
			e := newSearch(t, remove, version)
			e.session, e.until = session, until
			e.begin()
			maybes := 0
			for observed, c := range e.classes {
				if c.verdict != c.truth() {
					t.Fatalf("remove %v at version %d: %s\nsays %s, and is %s", remove, version, e.story(observed), c.verdict, c.truth())
				}
				if c.verdict == "maybe" {
					maybes++
				}
			}
			t.Logf("remove %v at version %d: %d states, %d observations, %d maybes", remove, version, len(e.seen), len(e.classes), maybes)
		}
	}
}

// TestKeyStateIsTheStore compares what keyState does with the store.
func TestKeyStateIsTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, k := &oracle{store: naive.New(naive.Limits{})}, keyState{revision: emptyRevision}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); what {
			case 0:
				k.put()
				o.others(kv.Put, oracleKey)
			case 1:
				k.delete()
				o.others(kv.Delete, oracleKey)
			case 2:
				others[2](&k)
				o.others(kv.Put, "other")
			default:
				a := attempt{
					unchangedSince: rapid.Uint64Range(1, 20).Draw(t, "since"),
					kind:           api.Request_Attempt(rapid.IntRange(1, 2).Draw(t, "attempt")),
				}
				remove, version := rapid.Bool().Draw(t, "remove"), rapid.Uint64Range(0, 3).Draw(t, "version")
				req := &api.Request{Kind: api.Request_PUT, Version: version, UnchangedSince: a.unchangedSince, Attempt: a.kind}
				if remove {
					req.Kind = api.Request_DELETE
				}
				if got, want := told(k.do(remove, version, a)), told(o.execute(req)); got != want {
					t.Fatalf("%v: got %s, want %s", req, got, want)
				}
			}
		}
		if k.executed != o.executed {
			t.Fatalf("executed %d times, not %d", k.executed, o.executed)
		}
	})
}
