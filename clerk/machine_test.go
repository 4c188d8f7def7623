package clerk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"balsa.example/api"
)

var testPace = Pace{AttemptNanos: 1000, WaitNanos: 100, MaxWaitNanos: 350}

func newTestRoute(t testing.TB, servers int) *Route {
	var endpoints []string
	for i := range servers {
		endpoints = append(endpoints, fmt.Sprintf("s%d:1", i))
	}
	r, err := NewRoute(endpoints, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newTestOp(t testing.TB, route *Route, req *api.Request) Op {
	return NewOp(route, rand.New(rand.NewPCG(1, 2)), testPace, req)
}

// The operations of the tables.
var (
	get     = &api.Request{Kind: api.Request_GET}
	put     = &api.Request{Kind: api.Request_PUT, Version: 5}
	create  = &api.Request{Kind: api.Request_PUT}
	erase   = &api.Request{Kind: api.Request_DELETE, Version: 5}
	set     = &api.Request{Kind: api.Request_PUT, Unconditional: true}
	remove  = &api.Request{Kind: api.Request_DELETE, Unconditional: true}
	allReqs = map[string]*api.Request{
		"get": get, "put": put, "create": create, "erase": erase, "set": set, "remove": remove,
		"range":   {Kind: api.Request_RANGE},
		"peek":    {Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: nested(&api.TxnOp{Op: &api.TxnOp_Range{}})}},
		"txn":     {Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: nested(&api.TxnOp{Op: &api.TxnOp_DeleteRange{DeleteRange: &api.DeleteRange{}}})}},
		"hang":    {Kind: api.Request_PUT, Version: 5, Call: &api.Request_Put{Put: &api.Put{Lease: 1}}},
		"sweep":   {Kind: api.Request_DELETE_RANGE},
		"sput":    {Kind: api.Request_PUT, Version: 5, Session: ofSession},
		"sset":    {Kind: api.Request_PUT, Unconditional: true, Session: ofSession},
		"stxn":    {Kind: api.Request_TXN, Session: ofSession, Call: &api.Request_Txn{Txn: nested(&api.TxnOp{Op: &api.TxnOp_Put{Put: &api.Put{}}})}},
		"compact": {Kind: api.Request_COMPACT},
		"renew":   {Kind: api.Request_LEASE_KEEP_ALIVE},
	}
	ofSession = &api.Session{Id: 1, Seq: 1}
)

// nested returns a transaction that has op in a transaction of its own.
func nested(op *api.TxnOp) *api.Txn {
	inner := &api.Txn{Else: []*api.TxnOp{op}}
	return &api.Txn{Then: []*api.TxnOp{{Op: &api.TxnOp_Txn{Txn: inner}}}}
}

// seenRevision is the revision that a Route of these tables has seen.
const seenRevision = 100

// events are the results that an attempt can have, by name. "Since" is since the operation
// began; the store has had enough revisions since then for all of them.
//
//	mismatch    the key was changed since, and is above the expected version
//	unchanged   the key is above the expected version, and was not changed since
//	behind      the key was changed since, and is below the expected version
//	another     the key was created since, and is below the expected version
//	changed     the key is at the expected version, and was changed since
//	recreated   the key is at the expected version, and was created since
//	gone        the key was deleted since
var events = map[string]func(*Op) Step{
	"ok":          code(api.Reply_OK),
	"nokey":       absent(api.Reply_NO_KEY),
	"mismatch":    found(api.Reply_VERSION_MISMATCH, 9, -10, +10),
	"unchanged":   found(api.Reply_VERSION_MISMATCH, 9, -10, 0),
	"behind":      found(api.Reply_VERSION_MISMATCH, 3, -10, +10),
	"another":     found(api.Reply_VERSION_MISMATCH, 3, +5, +10),
	"changed":     found(api.Reply_CHANGED, 5, -10, +10),
	"recreated":   found(api.Reply_CHANGED, 5, +5, +10),
	"gone":        absent(api.Reply_CHANGED),
	"nonsense":    code(api.Reply_CHANGED),
	"wrongleader": code(api.Reply_WRONG_LEADER),
	"busy":        code(api.Reply_BUSY),
	"unavailable": code(api.Reply_UNAVAILABLE),
	"unknown":     code(api.Reply_UNKNOWN),
	"future":      code(api.Reply_Code(99)),
	"toolarge":    code(api.Reply_TOO_LARGE),
	"compacted":   code(api.Reply_COMPACTED),
	"ended": func(o *Op) Step {
		return o.Reply(&api.Reply{Code: api.Reply_SESSION_ENDED, Revision: seenRevision + 10})
	},
	"denied":     code(api.Reply_PERMISSION_DENIED),
	"nouser":     code(api.Reply_UNAUTHENTICATED),
	"wasdenied":  func(o *Op) Step { return o.Reply(&api.Reply{Code: api.Reply_PERMISSION_DENIED, DoneAt: seenRevision}) },
	"forgotten":  func(o *Op) Step { return o.Reply(&api.Reply{Code: api.Reply_UNKNOWN, DoneAt: seenRevision}) },
	"invalid":    code(api.Reply_INVALID),
	"lost":       func(o *Op) Step { return o.Lost(true) },
	"unsent":     func(o *Op) Step { return o.Lost(false) },
	"cancel":     func(o *Op) Step { return o.Cancel(true) },
	"cancelidle": func(o *Op) Step { return o.Cancel(false) },
}

func code(c api.Reply_Code) func(*Op) Step {
	return func(o *Op) Step { return o.Reply(&api.Reply{Code: c}) }
}

// found returns a refusal that describes the key, by revisions since the operation began.
// The key was deleted right before it was created.
func found(c api.Reply_Code, version uint64, created, modified int64) func(*Op) Step {
	return func(o *Op) Step {
		at := func(revision int64) uint64 { return uint64(int64(o.attempts.unchangedSince) + revision) }
		return o.Reply(&api.Reply{
			Code: c, Version: version, CreateRevision: at(created), ModRevision: at(modified),
			DeleteRevision: at(created - 1), Revision: at(10),
		})
	}
}

// absent returns a refusal because the key was deleted.
func absent(c api.Reply_Code) func(*Op) Step {
	return func(o *Op) Step {
		return o.Reply(&api.Reply{Code: c, DeleteRevision: o.attempts.unchangedSince + 5, Revision: o.attempts.unchangedSince + 10})
	}
}

// play feeds an operation with events, and returns how it ended; "" if it did not end.
func play(t *testing.T, req *api.Request, names ...string) string {
	route := newTestRoute(t, 3)
	route.revision = seenRevision
	op := newTestOp(t, route, req)
	step := op.Start()
	for i, name := range names {
		if step.Action == Wait {
			step = op.WaitDone()
		}
		if step.Action == End {
			t.Fatalf("%v: over after %d", names, i)
		}
		step = events[name](&op)
	}
	if step.Action != End {
		return ""
	}
	switch out := op.Outcome(); out.Verdict {
	case Answered:
		if out.Again && out.Reply.Code != api.Reply_OK && req.Session == nil {
			return out.Reply.Code.String() + " again"
		}
		return out.Reply.Code.String()
	case Maybe:
		return "maybe"
	default:
		return "dropped"
	}
}

func TestVerdicts(t *testing.T) {
	const mismatched = "VERSION_MISMATCH"
	const once, sure = "set remove txn hang sweep", "sput sset stxn" // not sent again, and of a session
	for _, tc := range []struct{ ops, events, want string }{
		{"get put create erase set remove", "ok", "OK"},
		{"get put create erase set remove", "nokey", "NO_KEY"},
		{"put create erase", "mismatch", mismatched},
		{"get put create erase set remove", "toolarge", "TOO_LARGE"},
		{"get put create erase set remove", "invalid", "INVALID"},

		// Certainly not executed: ask again, and nothing is in doubt.
		{"get put create erase set remove", "wrongleader busy unavailable unsent", ""},
		{"put create erase", "wrongleader busy unavailable unsent mismatch", mismatched},
		{"put erase", "wrongleader busy unavailable unsent nokey", "NO_KEY"},
		{"get put create erase set remove", "wrongleader unsent cancelidle", "dropped"},

		{"put create erase", "changed recreated gone", ""},
		{"put create erase", "changed mismatch", mismatched},
		{"put create erase", "gone cancelidle", "dropped"},

		// Lost: a read is asked again, Put and Delete too but in doubt, others end.
		{"get", "lost unknown future nokey", "NO_KEY"},
		{"get", "lost cancel", "dropped"},
		{"put create erase", "lost unknown future ok", "OK"},
		{"put create erase", "lost another", "maybe"},
		{"put create erase", "unknown another", "maybe"},
		{"put create erase", "future another", "maybe"},
		{"put create erase", "lost nokey", "maybe"},
		{"put create erase", "lost gone", "maybe"},
		{"put create erase", "lost recreated", "maybe"},
		{"put create erase", "lost toolarge", "maybe"},
		{"put create erase", "lost invalid", "maybe"},
		{"put create erase", "nonsense another", "maybe"},
		{"set remove", "lost", "maybe"},
		{"set remove", "unknown", "maybe"},
		{"set remove", "changed", "maybe"},
		{"set remove", "wrongleader busy lost", "maybe"},

		// A doubt does not go away by itself.
		{"put create erase", "lost wrongleader busy unavailable unsent another", "maybe"},
		{"put create erase", "lost wrongleader cancelidle", "maybe"},

		// What the key tells of the attempts before the resend.
		{"put create erase", "lost unchanged", mismatched},
		{"put create erase", "lost behind", mismatched},
		{"put", "lost mismatch", "maybe"},
		{"create erase", "lost mismatch", mismatched}, // we would have created or deleted it
		{"put create erase", "lost changed", ""},
		{"put create erase", "lost changed cancelidle", "dropped"},
		{"put create erase", "lost changed lost cancelidle", "maybe"},

		{once, "unavailable ok", "OK"},
		{once, "lost", "maybe"},
		{once, "unknown", "maybe"},
		{once, "compacted", "COMPACTED"},

		// A transaction that changes nothing is a read.
		{"range peek", "lost unknown compacted", "COMPACTED"},
		{"range peek", "lost cancel", "dropped"},

		// Of a session: the outcome is that of the write, whichever attempt got it.
		{sure, "lost unknown ok", "OK"},
		{sure, "lost unknown mismatch", mismatched},
		{sure, "lost nokey", "NO_KEY"},
		{sure, "lost compacted", "COMPACTED"},
		{sure, "ended", "SESSION_ENDED"},
		{sure, "wrongleader unsent ended", "SESSION_ENDED"},
		{sure, "lost ended", "maybe"},
		{sure, "lost toolarge", "maybe"},
		{sure, "nouser", "UNAUTHENTICATED"},
		{sure, "lost nouser", "maybe"},
		{sure, "lost denied", "maybe"},
		{sure, "lost wasdenied", "PERMISSION_DENIED"},
		{sure, "forgotten", "maybe"},
		{"set", "forgotten", "maybe"},
		{"put range compact", "forgotten ok", "OK"},
		{sure, "lost busy wrongleader", ""},
		{sure, "lost cancelidle", "maybe"},
		{sure, "cancel", "maybe"},
		{sure, "busy cancelidle", "dropped"},

		// Repeatable: a refusal may be due to the first attempt.
		{"compact renew", "lost ok", "OK"},
		{"compact renew", "compacted", "COMPACTED"},
		{"compact renew", "lost compacted", "COMPACTED again"},
		{"compact renew", "lost wrongleader cancelidle", "maybe"},

		// Given up.
		{"put create erase set remove", "cancel", "maybe"},
		{"get put create erase set remove", "cancelidle", "dropped"},
	} {
		for _, name := range strings.Fields(tc.ops) {
			if got := play(t, allReqs[name], strings.Fields(tc.events)...); got != tc.want {
				t.Errorf("%s: %s: got %q, want %q", name, tc.events, got, tc.want)
			}
		}
	}
}

// TestVerdictsOfAllSequences compares every sequence of up to four events with what the
// table in machine.go says, in the simplest form.
func TestVerdictsOfAllSequences(t *testing.T) {
	const length = 4
	var names []string
	for name := range events {
		names = append(names, name)
	}
	sequences := 0
	var extend func(name string, seq []string)
	extend = func(name string, seq []string) {
		want := expect(name, seq)
		if got := play(t, allReqs[name], seq...); got != want {
			t.Fatalf("%s: %v: got %q, want %q", name, seq, got, want)
		}
		sequences++
		if want != "" || len(seq) == length {
			return
		}
		for _, next := range names {
			extend(name, append(seq[:len(seq):len(seq)], next))
		}
	}
	for name := range allReqs {
		extend(name, nil)
	}
	if sequences < 10_000 {
		t.Errorf("only %d sequences", sequences)
	}
}

// expect returns the verdict on a sequence, none of whose beginnings has one.
func expect(op string, seq []string) string {
	if len(seq) == 0 {
		return ""
	}
	read, retryable := op == "get" || op == "range" || op == "peek", op == "put" || op == "create" || op == "erase"
	session, repeatable := op[0] == 's' && op != "set" && op != "sweep", op == "compact" || op == "renew"
	repeated := session || repeatable
	isChange := func(event string) bool { return strings.Contains("changed recreated gone", event) }
	ambiguous := func(event string) bool {
		return !read && (strings.Contains("lost unknown future nonsense cancel forgotten", event) || isChange(event) && !retryable)
	}
	doubt := false // for a Session and a repeatable one, too
	for _, e := range seq[:len(seq)-1] {
		doubt = doubt || ambiguous(e)
		if isChange(e) && retryable { // it did not end the operation
			doubt = false
		}
	}
	// Whether the key described shows that nothing was executed.
	excluded := map[string]bool{"mismatch": op != "put", "unchanged": true, "behind": true, "changed": true}
	sure := func(verdict string) string {
		if doubt {
			return "maybe"
		}
		return verdict
	}
	last := seq[len(seq)-1]
	if repeated {
		refused := map[string]string{
			"nokey": "NO_KEY", "compacted": "COMPACTED", "mismatch": "VERSION_MISMATCH",
			"unchanged": "VERSION_MISMATCH", "behind": "VERSION_MISMATCH", "another": "VERSION_MISMATCH",
		}
		switch code := refused[last]; {
		case code != "":
			if repeatable && doubt {
				code += " again"
			}
			return code
		case last == "cancel" || session && last == "forgotten":
			return "maybe"
		case ambiguous(last):
			return ""
		}
	}
	switch last {
	case "ok":
		return "OK"
	case "compacted":
		return sure("COMPACTED")
	case "ended":
		return sure("SESSION_ENDED")
	case "nokey":
		return sure("NO_KEY")
	case "toolarge":
		return sure("TOO_LARGE")
	case "invalid":
		return sure("INVALID")
	case "nouser":
		return sure("UNAUTHENTICATED")
	case "wasdenied":
		if session {
			return "PERMISSION_DENIED"
		}
		fallthrough
	case "denied":
		return sure("PERMISSION_DENIED")
	case "mismatch", "unchanged", "behind", "another":
		if excluded[last] {
			return "VERSION_MISMATCH"
		}
		return sure("VERSION_MISMATCH")
	case "changed", "recreated", "gone":
		if retryable && doubt && !excluded[last] || !retryable && !read {
			return "maybe"
		}
		return ""
	case "cancel", "cancelidle":
		if ambiguous(last) {
			return "maybe"
		}
		return sure("dropped")
	default:
		if ambiguous(last) && !retryable {
			return "maybe"
		}
		return ""
	}
}

func hint(node uint64, urls ...string) *api.Reply {
	return &api.Reply{Code: api.Reply_WRONG_LEADER, Leader: &api.Leader{NodeId: node, ClientUrls: urls}}
}

func TestHintIsFollowedAtOnce(t *testing.T) {
	route := newTestRoute(t, 5)
	route.Learn(3, 33)
	for name, tc := range map[string]struct {
		hint *api.Reply
		want int
	}{
		"by node id":                 {hint(33, "http://elsewhere:1"), 3},
		"by URL":                     {hint(44, "http://s4:1/"), 4},
		"by the second URL":          {hint(44, "unix:///x", "S2:1"), 2},
		"to a new server":            {hint(44, "http://s9:1"), 5},
		"nowhere":                    {hint(44), 1},
		"to a URL with another TLS":  {hint(44, "https://s9:1"), 1},
		"to the server that gave it": {hint(0, "s0:1"), 1},
		"without a leader":           {&api.Reply{Code: api.Reply_WRONG_LEADER}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			route := *route
			op := newTestOp(t, &route, set)
			if step := op.Start(); step.Server != 0 {
				t.Fatalf("%+v", step)
			}
			if step := op.Reply(tc.hint); step.Action != Ask || step.Server != tc.want {
				t.Errorf("%+v, want server %d", step, tc.want)
			}
			other := newTestOp(t, &route, set)
			if step := other.Start(); step.Server != tc.want {
				t.Errorf("the next operation starts at %d, want %d", step.Server, tc.want)
			}
		})
	}
}

func TestServersThatHintAtEachOtherAreAskedOncePerRound(t *testing.T) {
	route := newTestRoute(t, 3)
	op := newTestOp(t, route, set)
	step := op.Start()
	for round := range 5 {
		asked := map[int]int{}
		for step.Action == Ask {
			asked[step.Server]++
			step = op.Reply(hint(0, fmt.Sprintf("s%d:1", (step.Server+1)%2)))
		}
		if len(asked) != 3 || asked[0]+asked[1]+asked[2] != 3 {
			t.Fatalf("round %d: asked %v", round, asked)
		}
		step = op.WaitDone()
	}
}

func TestHintAtAServerThatIsSilentIsNotFollowed(t *testing.T) {
	route := newTestRoute(t, 3)
	op := newTestOp(t, route, put)
	asked := []int{op.Start().Server}
	asked = append(asked, op.Reply(hint(0, "s1:1")).Server, op.Lost(true).Server)
	step := op.Reply(hint(0, "s1:1"))
	if fmt.Sprint(asked) != "[0 1 2]" || step.Action != Wait {
		t.Fatalf("asked %v, then %+v", asked, step)
	}
	if step = op.WaitDone(); step.Server == 1 {
		t.Error("the next round starts at the silent server")
	}
	if route.leader == 1 {
		t.Error("other operations start at the silent server")
	}
}

func TestRoundStartsAtTheNewestHint(t *testing.T) {
	route := newTestRoute(t, 3)
	op := newTestOp(t, route, put)
	op.Start()
	op.Reply(hint(0, "s2:1"))
	op.Reply(hint(0, "s1:1"))
	if step := op.Reply(hint(0, "s2:1")); step.Action != Wait {
		t.Fatalf("%+v", step)
	}
	if step := op.WaitDone(); step.Server != 2 {
		t.Errorf("%+v", step)
	}
}

func TestWaitsGrowWithJitter(t *testing.T) {
	route := newTestRoute(t, 1)
	op := newTestOp(t, route, set)
	op.Start()
	for i, want := range []int64{100, 200, 350, 350, 350} {
		step := op.Lost(false)
		if step.Action != Wait || step.Nanos > want || step.Nanos < want/2 {
			t.Errorf("wait %d: %+v, want up to %d", i, step, want)
		}
		op.WaitDone()
	}
}

func TestBusyLeaderIsAskedAgain(t *testing.T) {
	route := newTestRoute(t, 3)
	route.leader = 1
	op := newTestOp(t, route, set)
	op.Start()
	for range 3 {
		if step := op.Reply(&api.Reply{Code: api.Reply_BUSY}); step.Action != Wait {
			t.Fatalf("%+v", step)
		}
		if step := op.WaitDone(); step.Server != 1 {
			t.Fatalf("%+v", step)
		}
	}
}

func TestWriteThatCannotBeResentWaitsLonger(t *testing.T) {
	route := newTestRoute(t, 1)
	for name, want := range map[string]int64{"get": 1000, "put": 1000, "erase": 1000, "set": 5000, "remove": 5000} {
		op := newTestOp(t, route, allReqs[name])
		if step := op.Start(); step.Nanos != want {
			t.Errorf("%s waits %d", name, step.Nanos)
		}
	}
}

// What takes long to send is given more time, so that it is not sent once more meanwhile.
func TestLargeRequestsWaitLonger(t *testing.T) {
	for bytes, want := range map[int]int64{0: 1000, DefaultMaxBytes: 1000, 2 << 20: 1000, 4 << 20: 2000, 10 << 20: 3500, 16 << 20: 5000} {
		if got := testPace.forBytes(bytes).AttemptNanos; got != want {
			t.Errorf("%d bytes wait %d", bytes, got)
		}
	}
}

func TestLocalReadsHaveTheirOwnServer(t *testing.T) {
	route := newTestRoute(t, 3)
	route.leader = 2
	op := newTestOp(t, route, &api.Request{Kind: api.Request_GET, Consistency: api.Request_LOCAL})
	if step := op.Start(); step.Server != 0 {
		t.Errorf("%+v", step)
	}
	op.Lost(true)
	op.Reply(&api.Reply{})
	if route.nearest != 1 || route.leader != 2 {
		t.Errorf("nearest %d, leader %d", route.nearest, route.leader)
	}
}

func TestRouteIsBounded(t *testing.T) {
	route := newTestRoute(t, 1)
	for i := range 1000 {
		op := newTestOp(t, route, set)
		op.Start()
		op.Reply(hint(0, fmt.Sprintf("new%d:1", i)))
	}
	if route.Len() != maxServers {
		t.Errorf("%d servers", route.Len())
	}
}

func leaders(addresses ...string) (all []*api.Leader) {
	for i, a := range addresses {
		all = append(all, &api.Leader{NodeId: uint64(100 + i), ClientUrls: []string{"http://" + a}})
	}
	return all
}

// asks returns the servers that an operation asks in one round, of which none answers.
func asks(t *testing.T, route *Route) (all []string) {
	op := newTestOp(t, route, get)
	for step := op.Start(); step.Action == Ask; step = op.Lost(true) {
		all = append(all, route.Server(step.Server))
	}
	slices.Sort(all)
	return all
}

// The servers that a Clerk asks are those that it was given, and those that are members now.
func TestRouteFollowsTheMembers(t *testing.T) {
	route := newTestRoute(t, 1)
	want := func(when string, want ...string) {
		t.Helper()
		if got := asks(t, route); !slices.Equal(got, want) {
			t.Errorf("%s: asks %v, want %v", when, got, want)
		}
	}
	route.Members(leaders("a:1", "b:1", "s0:1"), 10)
	want("at first", "a:1", "b:1", "s0:1")
	route.Members(leaders("b:1", "c:1"), 11)
	want("a has left, c has come", "b:1", "c:1", "s0:1")
	route.Members(leaders("a:1"), 10)
	want("told by a server that lags behind", "b:1", "c:1", "s0:1")
	route.Members(nil, 12)
	want("told nothing", "b:1", "c:1", "s0:1")
	op := newTestOp(t, route, set)
	op.Start()
	op.Reply(hint(0, "d:1"))
	want("a leader that is not known yet", "b:1", "c:1", "d:1", "s0:1")
	route.Members([]*api.Leader{{NodeId: 1, ClientUrls: []string{"https://x:1"}}}, 12)
	want("none that can be used", "b:1", "c:1", "d:1", "s0:1")
}

// A Clerk lives longer than any of the members, each of which is replaced by another one.
func TestRouteOutlivesAllMembers(t *testing.T) {
	route := newTestRoute(t, 1)
	for i := range 1000 {
		now := leaders(fmt.Sprintf("m%d:1", i), fmt.Sprintf("m%d:1", i+1), fmt.Sprintf("m%d:1", i+2))
		route.Members(now, uint64(i))
		if got := asks(t, route); len(got) != 4 || route.Len() > maxServers {
			t.Fatalf("after %d changes: asks %v, knows %d", i, got, route.Len())
		}
		if i%3 == 0 { // it comes back to a leader that it knows by its id
			if h := route.follow(&api.Leader{NodeId: 101}); h < 0 || route.Server(h) != fmt.Sprintf("m%d:1", i+1) {
				t.Fatalf("after %d changes the hint leads to %d", i, h)
			}
		}
		route.leader = int(rand.Uint64() % uint64(route.Len()))
	}
}

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]string{
		"host:1":             "host:1",
		"Host.example:65535": "host.example:65535",
		"http://h:1":         "h:1",
		"HTTP://h:1/":        "h:1",
		"https://h:1":        "h:1",
		"[::1]:2379":         "[::1]:2379",
		"":                   "want host:port",
		"host":               "want host:port",
		"host:":              "port",
		"host:0":             "port",
		"host:65536":         "port",
		"host:http":          "port",
		":1":                 "no host",
		"[]:1":               "no host",
		"::1:2379":           "want host:port",
		"[::1:2379":          "want host:port",
		"ftp://h:1":          "scheme",
		"http://h:1/path":    "port",
		"http://u@h:1":       "want host:port",
		"a b:1":              "want host:port",
	} {
		got, _, err := parseEndpoint(in)
		if err == nil && got != want || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", in))) {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestEndpointsMustAgreeOnTLS(t *testing.T) {
	for _, tc := range []struct {
		endpoints string
		tls       bool
		secure    bool
		refused   bool
	}{
		{"a:1 b:1", false, false, false},
		{"a:1 b:1", true, true, false},
		{"a:1 https://b:1", false, true, false},
		{"http://a:1 https://b:1", false, false, true},
		{"http://a:1", true, false, true},
		{"", false, false, true},
	} {
		r, err := NewRoute(strings.Fields(tc.endpoints), tc.tls)
		if (err != nil) != tc.refused || err == nil && r.Secure() != tc.secure {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// A caller whose deadline is shorter than an attempt may take never loses one. After some operations in vain the next asks
// another server. An answer, and operations that are given up between two attempts, count for nothing.
func TestAServerThatAnswersNobodyIsLeft(t *testing.T) {
	for _, req := range []*api.Request{get, put, {Kind: api.Request_GET, Consistency: api.Request_LOCAL}} {
		r := newTestRoute(t, 3)
		asked := func() int {
			op := newTestOp(t, r, req)
			server := op.Start().Server
			op.Cancel(true)
			return server
		}
		first := asked()
		for range maxGivenUp - 2 {
			if asked() != first {
				t.Errorf("%v: it is left at once", req)
			}
		}
		op := newTestOp(t, r, req)
		op.Start()
		op.Reply(&api.Reply{Code: api.Reply_OK})
		for range maxGivenUp {
			if asked() != first {
				t.Errorf("%v: it is left though it answers", req)
			}
		}
		op = newTestOp(t, r, req)
		if op.Start().Server == first {
			t.Errorf("%v: it is asked for ever", req)
		}
	}
}
