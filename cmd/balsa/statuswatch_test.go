package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/internal/terminal"
)

// watched is a cluster of three, of which n3 does not answer, after so many looks.
func watched(looks uint64) []nodeStatus {
	node := func(name, role string, applied uint64) nodeStatus {
		return nodeStatus{
			Name: name, ID: name, Cluster: "c", Endpoint: "10.0.0." + name[1:] + ":23790", Role: role, Term: 5, Leader: "n2",
			Commit: 1000, Applied: applied, Keys: 12_345, UptimeMillis: 60_000 + 2000*looks, Version: "v0.1.0",
			DataBytes: 300 << 20, DiskFree: 40 << 30, Memory: 210 << 20,
			Reaches: []string{"n1"}, Misses: []string{"n3"},
			Work: &workJSON{
				Writes: 3000 * looks, Reads: 9 * looks, Failed: looks, Syncs: 200 * looks, SyncMicros: 300_000 * looks,
				LogBytes: 2 << 20 * looks, ProcessorMicros: 500_000 * looks,
				syncTimes: []*api.CountUpTo{{UpToUs: 1600, Count: 190 * looks}, {UpToUs: 3200, Count: 199 * looks}, {UpToUs: 6400, Count: 200 * looks}},
			},
		}
	}
	slow := node("n1", "follower", 790)
	slow.DiskWait = 1500
	return []nodeStatus{slow, node("n2", "leader", 1000), {Name: "n3", Endpoint: "10.0.0.3:23790", Error: "connection refused"}}
}

func statusWatchOf(out *bytes.Buffer, size func() terminal.Size) *statusWatch {
	n := connection{endpoints: []string{"h:1"}}
	looks := uint64(0)
	return &statusWatch{
		look:    func(context.Context) []nodeStatus { looks++; return watched(looks) },
		verdict: n.verdict, interval: 2 * time.Second, out: out, terminal: terminal.Fake(out, size, false),
	}
}

// The table has the columns that fit, and rates from the second look on.
func TestPictureOfStatusWatch(t *testing.T) {
	columns := 80
	w := statusWatchOf(nil, func() terminal.Size { return terminal.Size{Columns: columns, Rows: 24} })
	at := time.Date(2026, 11, 26, 15, 4, 5, 0, time.Local)
	show := func(looks uint64) string {
		nodes := watched(looks)
		w.rate(nodes)
		return strings.Join(w.picture(at, nodes), "\n")
	}
	first := `15:04:05  every 2s  Ctrl-C ends
n2 leads in term 5; 2 of 3 servers answer

NAME  ROLE         TERM  LEADER  WRITES/S  READS/S   FAILED/S  SYNC     LAG
n1    follower     5     n2      -         -         -         -        210
n2    leader       5     n2      -         -         -         -        0
n3    unreachable  -     -       -         -         -         -        -

n1: its disk has not answered for 1.5 s`
	if got := show(1); got != first {
		t.Errorf("the first look:\n%s", got)
	}
	columns = 108
	second := `NAME  ROLE         TERM  LEADER  WRITES/S  READS/S   FAILED/S  SYNCS/S  SYNC     SYNC P99  LOG/S     LAG
n1    follower     5     n2      1,500     4.5       0.5       100      1.5ms    3.2ms     1.0 MiB   210
n2    leader       5     n2      1,500     4.5       0.5       100      1.5ms    3.2ms     1.0 MiB   0
n3    unreachable  -     -       -         -         -         -        -        -         -         -`
	if got := show(2); !strings.Contains(got, second) {
		t.Errorf("the second look:\n%s", got)
	}
	columns = 300
	third := `NAME  ENDPOINT         ROLE         TERM  LEADER  WRITES/S  READS/S   FAILED/S  SYNCS/S  SYNC     SYNC P99  LOG/S     LAG     KEYS       DATA      FREE      MEMORY    CPU    VERSION
n1    10.0.0.1:23790   follower     5     n2      1,500     4.5       0.5       100      1.5ms    3.2ms     1.0 MiB   210     12,345     300 MiB   40.0 GiB  210 MiB   25%    v0.1.0`
	if got := show(3); !strings.Contains(got, third) {
		t.Errorf("the third look:\n%s", got)
	}
	columns = 20
	if got := show(4); !strings.Contains(got, "\nNAME  ROLE         WRITES/S  READS/S\n") {
		t.Errorf("on a narrow terminal:\n%s", got)
	}
}

func TestStatusWatchIsDrawnInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel) // as Ctrl-C does
		w := statusWatchOf(&out, func() terminal.Size { return terminal.Size{Columns: 60, Rows: 24} })
		resized := make(chan os.Signal, 1)
		w.resized = resized
		time.AfterFunc(3*time.Second, func() { resized <- os.Interrupt })
		if err := w.run(ctx); err != nil {
			t.Error(err)
		}
		text := out.String()
		if n := strings.Count(text, "\x1b[H"); n != 4 {
			t.Errorf("%d pictures in 5 s, want 3 and one of the new size: %q", n, text)
		}
		if !strings.HasPrefix(text, "\x1b[?1049h\x1b[?25l") || !strings.HasSuffix(text, "\x1b[?25h\x1b[?1049l") {
			t.Errorf("the terminal is not left as it was: %q", text)
		}
	})
}

func TestStatusWatchAppendsLinesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		w := statusWatchOf(&out, nil)
		w.terminal = terminal.Of(&out, &out, noEnv)
		if err := w.run(ctx); err != nil {
			t.Error(err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 1+2*4+1 || strings.Contains(out.String(), "\x1b") || strings.Count(out.String(), "TIME") != 1 {
			t.Errorf("%q", lines)
		}
		if !strings.HasPrefix(lines[0], "TIME      NAME  ") || !strings.Contains(lines[5], "  n1    ") || !strings.Contains(lines[5], "  1,500  ") {
			t.Errorf("%s", &out)
		}
	})
}

func TestStatusWatchAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		w := statusWatchOf(&out, func() terminal.Size { return terminal.Size{Columns: 60, Rows: 24} })
		w.json = true
		if err := w.run(ctx); err != nil {
			t.Error(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		var look struct {
			Time  time.Time
			Nodes []nodeStatus
		}
		if len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &look) != nil || len(look.Nodes) != 3 ||
			look.Nodes[0].Rates == nil || look.Nodes[0].Rates.Writes != 1500 || look.Nodes[2].Error == "" || look.Time.IsZero() {
			t.Errorf("%q", lines)
		}
	})
}

func TestStatusWatchEndsWhenNobodyReads(t *testing.T) {
	w := statusWatchOf(nil, nil)
	w.out, w.terminal = brokenWriter{}, terminal.Of(brokenWriter{}, brokenWriter{}, noEnv)
	if err := w.run(t.Context()); err == nil {
		t.Error("it goes on")
	}
}

func TestRates(t *testing.T) {
	a, b := watched(1)[0], watched(2)[0]
	if r := ratesBetween(&a, &b); r == nil || r.Seconds != 2 || r.Processor != 0.25 || r.SyncMean != 1500 || r.SyncLate != 3200 {
		t.Errorf("%+v", r)
	}
	restarted, other, older := b, b, b
	restarted.UptimeMillis, other.ID, older.Work = 10, "n9", nil
	for name, pair := range map[string][2]*nodeStatus{
		"no look before": {nil, &b}, "another process": {&a, &restarted}, "another server": {&a, &other}, "an older version": {&a, &older}, "the same moment": {&a, &a},
	} {
		if r := ratesBetween(pair[0], pair[1]); r != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	idle := b
	idle.UptimeMillis++
	if r := ratesBetween(&b, &idle); r == nil || r.Syncs != 0 || r.SyncMean != 0 || r.SyncLate != 0 {
		t.Errorf("without work: %+v", r)
	}
}

// hung is where a server takes connections and never answers.
const hung = "10.0.0.3:1"

// asking is a surveyor of servers n1 to n3; n1 is also found as localhost, and n3 hangs.
func asking(given ...string) *surveyor {
	peer := func(id uint64) *api.Peer {
		return &api.Peer{NodeId: id, Name: fmt.Sprint("n", id), ClientUrls: []string{fmt.Sprintf("http://10.0.0.%d:1", id)}}
	}
	s := newSurveyor(nil, &connection{endpoints: given})
	s.status = func(ctx context.Context, endpoint string) (*api.StatusReply, error) {
		switch hostPort(endpoint) {
		case "localhost:1", "10.0.0.1:1":
			return &api.StatusReply{NodeId: 1, Name: "n1", Peers: []*api.Peer{peer(2), peer(3)}}, nil
		case "10.0.0.2:1":
			return &api.StatusReply{NodeId: 2, Name: "n2", Peers: []*api.Peer{peer(1), peer(3)}}, nil
		case hung:
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, errors.New("refused")
	}
	return s
}

// A server that does not answer keeps nobody waiting longer than the time that there is, nor the others from
// being asked.
func TestASurveyWaitsForNobody(t *testing.T) {
	for _, given := range [][]string{{hung, "localhost:1"}, {"http://10.0.0.2:1"}, {"localhost:1", "10.0.0.1:1", "10.0.0.2:1"}} {
		synctest.Test(t, func(t *testing.T) {
			s := asking(given...)
			for range 3 {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				nodes := s.look(ctx)
				cancel()
				if len(nodes) != 3 || time.Since(began) != time.Second {
					t.Fatalf("given %v: after %s: %+v", given, time.Since(began), nodes)
				}
				for i, n := range nodes {
					if n.Name != fmt.Sprint("n", i+1) || (n.Error != "") != (i == 2) {
						t.Errorf("given %v: %+v", given, n)
					}
				}
				if given[0] == "localhost:1" && nodes[0].Endpoint != "localhost:1" {
					t.Errorf("n1 is shown at %s", nodes[0].Endpoint)
				}
			}
		})
	}
}

// Who is no member any more is not asked any more, unless by its address.
func TestASurveyForgetsFormerMembers(t *testing.T) {
	s := asking("10.0.0.2:1")
	s.members = []*api.Peer{{NodeId: 9, Name: "n9", ClientUrls: []string{"10.0.0.9:1"}}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if first, second := s.look(ctx), s.look(ctx); len(first) != 4 || len(second) != 3 {
		t.Errorf("%d, then %d", len(first), len(second))
	}
}

// An address that was only guessed has no row of its own when the members are known to be elsewhere. One
// that somebody has named has.
func TestASurveyShowsMembersAlone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, guessed := range []bool{true, false} {
		s := asking("10.0.0.1:1", "10.0.0.2:1", "10.0.0.9:1") // at the last there was a member once
		s.guessed = guessed
		nodes := s.look(ctx)
		if strange := nodes[0].Name == ""; strange == guessed || len(nodes) != 3 && guessed {
			t.Errorf("guessed %t: %+v", guessed, nodes)
		}
	}
	alone := asking("10.0.0.8:1", "10.0.0.9:1")
	alone.guessed, alone.status = true, func(_ context.Context, endpoint string) (*api.StatusReply, error) {
		if endpoint == "10.0.0.8:1" {
			return &api.StatusReply{NodeId: 8, Name: "n8", Role: api.Role_LEADER}, nil
		}
		return nil, errors.New("refused")
	}
	if nodes := alone.look(ctx); len(nodes) != 1 || nodes[0].Name != "n8" {
		t.Errorf("a server alone: %+v", nodes)
	}
	nobody := asking("10.0.0.8:1", "10.0.0.9:1")
	if nobody.guessed = true; len(nobody.look(ctx)) != 2 {
		t.Error("where nobody answers that is not told")
	}
}
