package member

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/transport"
)

// Every error of this package that a member may tell another one arrives as itself.
func TestErrorsTravel(t *testing.T) {
	for code, err := range codes {
		back := fromWire(toWire(fmt.Errorf("change: %w", err)))
		if !errors.Is(back, err) || !strings.Contains(back.Error(), err.Error()) {
			t.Errorf("%d: %v becomes %v", code, err, back)
		}
	}
	for range 100 { // an error may have another one in it
		if err := fromWire(toWire(fmt.Errorf("%w: it does not answer (%w)", ErrNotCaughtUp, fmt.Errorf("%w: it is away", errNotLeader)))); !errors.Is(err, ErrNotCaughtUp) {
			t.Fatalf("what is certain becomes %v", err)
		}
	}
	if err := fromWire(toWire(errors.New("anything"))); !errors.Is(err, ErrUnknown) {
		t.Errorf("an error that is not known becomes %v", err)
	}
	if err := fromWire(&transport.Refusal{Code: transport.CodeBusy}); !errors.Is(err, errNotLeader) {
		t.Errorf("a member that is busy: %v", err)
	}
	if err := fromWire(&transport.Refusal{Code: codeFirstChange + 99}); !errors.Is(err, ErrUnknown) {
		t.Errorf("an error of a later version: %v", err)
	}
}

// It is certain that nothing has changed, or said that it is not.
func TestWhatErrorsOfAChangeMean(t *testing.T) {
	for err, want := range map[error]error{
		raft.ErrChangePending:                    errSoon,
		raft.ErrNotReady:                         errSoon,
		rsm.ErrBusy:                              errSoon,
		roster.ErrNoRoster:                       errSoon,
		&rsm.NotLeaderError{}:                    errNotLeader,
		raft.ErrNotCaughtUp:                      ErrNotCaughtUp,
		roster.ErrNoMember:                       ErrNoMember,
		raft.ErrBadConfiguration:                 ErrBadChange,
		rsm.ErrUnknown:                           ErrUnknown,
		rsm.ErrStopped:                           ErrUnknown,
		errors.New("the disk has gone"):          ErrUnknown,
		fmt.Errorf("edit: %w", ErrLosesQuorum):   ErrLosesQuorum,
		fmt.Errorf("edit: %w", roster.ErrExists): ErrExists,
	} {
		if got := classify(fmt.Errorf("change the members: %w", err)); !errors.Is(got, want) {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
	}
}

// A server that is no member may ask to join under its own name, and for nothing else.
func TestWhatAStrangerMayAsk(t *testing.T) {
	cluster, err := NewCluster("t", map[string]string{"n1": "10.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	cert := func(cn string, usages ...x509.ExtKeyUsage) *tls.ConnectionState {
		c := &x509.Certificate{ExtKeyUsage: usages}
		c.Subject.CommonName = cn
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
	}
	server := x509.ExtKeyUsageServerAuth
	about := roster.About{Name: "n4", Peers: []string{"10.0.0.4:1"}}
	join := &roster.Change{Kind: roster.Add, About: about, Incarnation: roster.Incarnation{4}}
	for name, tc := range map[string]struct {
		tls  *tls.ConnectionState
		ask  request
		want bool
	}{
		"to join":                          {cert("n4", server), request{Change: join}, true},
		"to join, without TLS":             {nil, request{Change: join}, true},
		"to join, by a certificate of all": {cert("n4"), request{Change: join}, true},
		"to join as another":               {cert("n1", server), request{Change: join}, false},
		"to join as a client":              {cert("n4", x509.ExtKeyUsageClientAuth), request{Change: join}, false},
		"to join without a directory":      {nil, request{Change: &roster.Change{Kind: roster.Add, About: about}}, false},
		"to join without a name":           {nil, request{Change: &roster.Change{Kind: roster.Add, Incarnation: roster.Incarnation{4}}}, false},
		"to remove":                        {cert("n4", server), request{Change: &roster.Change{Kind: roster.Remove, Name: "n1"}}, false},
		"as a member that relays":          {cert("n4", server), request{Change: join, Relayed: true}, false},
		"who the members are":              {cert("n4", server), request{List: &listRequest{}, From: &about}, true},
		"what only members may ask":        {cert("n4", server), request{Question: []byte("q"), From: &about}, false},
		"to let another one lead":          {cert("n4", server), request{Move: 1, From: &about}, false},
		"to weigh":                         {cert("n4", server), request{Weigh: join, From: &about}, false},
		"whether a member is ready":        {cert("n4", server), request{Ready: &readyRequest{}, From: &about}, false},
		"that, as nobody":                  {cert("n4", server), request{List: &listRequest{}}, false},
		"that, as another":                 {cert("n1", server), request{List: &listRequest{}, From: &about}, false},
	} {
		m := &Member{cfg: Config{Cluster: cluster}}
		if err := m.admitStranger(transport.Caller{TLS: tc.tls}, &tc.ask); (err == nil) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An answer that does not fit into a call says nothing of what became of the change, and not that
// nothing did.
func TestAnAnswerThatIsTooLong(t *testing.T) {
	a := answer{Members: []Info{{Name: strings.Repeat("\x01", 20_000)}}}
	if _, err := encodeAnswer(a); !errors.Is(fromWire(err), ErrUnknown) {
		t.Errorf("the error is %v", err)
	}
	if b, err := encodeAnswer(answer{Members: []Info{{Name: "<&>"}}}); err != nil || !strings.Contains(string(b), "<&>") {
		t.Errorf("%s (%v)", b, err)
	}
}

// What members tell each other fits into a call.
func TestTheLargestClusterFitsIntoACall(t *testing.T) {
	var a answer
	for i := range roster.MaxMembers {
		a.Members = append(a.Members, Info{
			ID: raft.NodeID(1<<63 + uint64(i)), Name: strings.Repeat("n", roster.MaxName), Peers: []string{strings.Repeat("p", 500)},
			Incarnation: [16]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
			Replaces:    raft.NodeID(1<<63 + uint64(i)), Behind: 1 << 63, BehindBytes: 1 << 63,
		})
	}
	b, err := json.Marshal(a)
	if err != nil || len(b) > 64<<10 {
		t.Errorf("%d bytes (%v)", len(b), err)
	}
}

func TestDoors(t *testing.T) {
	for text, want := range map[string]door{
		"10.0.0.1:2380":             {"", "10.0.0.1:2380"},
		"https://10.0.0.1:2380/":    {"", "10.0.0.1:2380"},
		"n1=http://10.0.0.1:2380":   {"n1", "10.0.0.1:2380"},
		"n1=db1.example.com:2380":   {"n1", "db1.example.com:2380"},
		"https://[2001:db8::1]:238": {"", "[2001:db8::1]:238"},
	} {
		if got := doorOf(text); got != want {
			t.Errorf("%s is %+v", text, got)
		}
	}
}

// Who gives up at the end of its time would not know whether the change may still be made.
func TestAnAnswerComesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for within, want := range map[time.Duration]time.Duration{
			time.Minute: time.Minute - answerTime, time.Second: time.Second - answerTime, 100 * time.Millisecond: 75 * time.Millisecond,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			began := time.Now()
			patience, end := answersInTime(ctx)
			<-patience.Done()
			if took := time.Since(began); took != want || ctx.Err() != nil {
				t.Errorf("of %v it waits %v, want %v; %v", within, took, want, ctx.Err())
			}
			end()
			cancel()
		}
		patience, end := answersInTime(t.Context())
		if _, ok := patience.Deadline(); ok {
			t.Error("it does not wait as long as it takes")
		}
		end()
	})
}
