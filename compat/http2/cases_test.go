package http2

import (
	"slices"
	"strings"
	"testing"
)

// testCase is one thing that a client may do to a server.
type testCase struct {
	// name says what the client sends, rule where it is said what must come: a section of RFC 9113, if not otherwise.
	name, rule string
	// do does it on a connection on which a call has been answered, and returns what conn.outcome does, or the like.
	do func(*conn) string
	// want lists what may come.
	want []string
	// today is what comes from grpc-go, if that is none of these. That it closes a connection without GOAWAY, where want has
	// one, is not said: it always does when a frame cannot be parsed.
	today string
}

// send is a case of which the outcome is what comes back.
func send(add func(*conn)) func(*conn) string {
	return func(c *conn) string {
		add(c)
		return c.outcome()
	}
}

func want(any ...string) []string { return any }

// What may come for an error that the RFC names.
var (
	protocolError = want("GOAWAY PROTOCOL_ERROR")
	sizeError     = want("GOAWAY FRAME_SIZE_ERROR")
	flowError     = want("GOAWAY FLOW_CONTROL_ERROR")
	hpackError    = want("GOAWAY COMPRESSION_ERROR")
	// malformed may be answered as HTTP, too (8.1.1).
	malformed = want("RST_STREAM PROTOCOL_ERROR", "HTTP 400")
	ignored   = want("ignored")
	ok        = want("grpc-status 0")
)

// ofHTTP2 are the cases that any server can be held to that has the methods of a target.
var ofHTTP2 = slices.Concat(prefaceCases, frameCases, paddingCases, continuationCases, streamCases, settingsCases, controlCases,
	flowCases, headerCases, hpackCases)

// run holds a target to cases, all at once.
func run(t *testing.T, to target, cases []testCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			skipKnown(t, to.known, c.name)
			t.Parallel()
			c.judge(t, to.grpcGo, c.do(open(t, to)))
		})
	}
}

// flood holds a target to the cases of floods, one after the other: a server may refuse others while there is one.
func flood(t *testing.T, to target) {
	for _, c := range floodCases {
		t.Run(c.name, func(t *testing.T) { c.judge(t, to.grpcGo, c.do(open(t, to))) })
	}
}

// judge fails a test unless a server does what it must. Of grpc-go it must be what it was.
func (c testCase) judge(t *testing.T, grpcGo bool, got string) {
	t.Helper()
	t.Log(got)
	right := slices.Contains(c.want, got)
	switch {
	case grpcGo && c.today != "":
		if got != c.today {
			t.Errorf("got %s; today %s; wanted %s (%s)", got, c.today, either(c.want), c.rule)
		}
	case right:
	case grpcGo && got == "closed" && strings.HasPrefix(c.want[len(c.want)-1], "GOAWAY "):
		t.Logf("departs: closed without %s (%s)", either(c.want), c.rule)
	default:
		t.Errorf("got %s; wanted %s (%s)", got, either(c.want), c.rule)
	}
}

func TestNamesOfCasesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range slices.Concat(ofHTTP2, floodCases, callCases, messageCases, metadataCases) {
		if seen[c.name] || c.rule == "" || len(c.want) == 0 || slices.Contains(c.want, c.today) {
			t.Errorf("%s", c.name)
		}
		seen[c.name] = true
	}
}

func TestHTTP2(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) { run(t, s.start(t), ofHTTP2) })
	}
}

func TestFloods(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) { flood(t, s.start(t)) })
	}
}

func TestGRPC(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) { run(t, s.start(t), slices.Concat(callCases, messageCases, metadataCases)) })
	}
}
