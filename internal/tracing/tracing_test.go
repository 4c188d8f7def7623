package tracing

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"balsa.example/internal/metrics"
	"balsa.example/rsm"
)

var zero = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at is so many milliseconds after zero.
func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// told is phases as text: the name, and from when to when in milliseconds.
func told(phases []Phase) (all []string) {
	for _, p := range phases {
		all = append(all, p.Name+" "+p.From.Sub(zero).String()+" "+p.To.Sub(zero).String())
	}
	return all
}

func TestPhasesOfWritesAndReads(t *testing.T) {
	whole := rsm.Stages{Logged: at(2), Writing: at(3), Synced: at(30), Committed: at(20), Applying: at(21), Applied: at(40)}
	times := Times{Began: at(0), Done: at(22), Ended: at(25)}
	parked := Times{Began: at(0), Started: at(1), Done: at(22), Ended: at(25)}
	for _, c := range []struct {
		name string
		got  []Phase
		want string
	}{
		{"a write at the leader", OfWrite(times, whole, false),
			"propose 0s 2ms, disk_queue 2ms 3ms, sync 3ms 30ms, commit 2ms 20ms, apply_queue 20ms 21ms, apply 21ms 22ms, reply 22ms 25ms"},
		{"a write that was forwarded", OfWrite(times, whole, true),
			"forward 0s 2ms, disk_queue 2ms 3ms, sync 3ms 30ms, commit 2ms 20ms, apply_queue 20ms 21ms, apply 21ms 22ms, reply 22ms 25ms"},
		{"a write whose entry the own disk does not have yet", OfWrite(times, rsm.Stages{Logged: at(2), Writing: at(3), Committed: at(20), Applying: at(21)}, false),
			"propose 0s 2ms, disk_queue 2ms 3ms, commit 2ms 20ms, apply_queue 20ms 21ms, apply 21ms 22ms, reply 22ms 25ms"},
		{"a write that was not executed", OfWrite(times, rsm.Stages{}, false), "no_entry 0s 22ms, reply 22ms 25ms"},
		{"a write that was parked", OfWrite(parked, rsm.Stages{}, false), "parked 0s 1ms, no_entry 1ms 22ms, reply 22ms 25ms"},
		{"a read", OfRead(Times{Began: at(0), Fresh: at(9), Done: at(22), Ended: at(25)}), "fresh 0s 9ms, read 9ms 22ms, reply 22ms 25ms"},
		{"a read of a state that never was fresh", OfRead(parked), "parked 0s 1ms, fresh 1ms 22ms, reply 22ms 25ms"},
	} {
		if want := strings.Split(c.want, ", "); !slices.Equal(told(c.got), want) {
			t.Errorf("%s: %q, want %q", c.name, told(c.got), want)
		}
	}
}

func TestKeysInTheLogAreReadable(t *testing.T) {
	for _, c := range []struct {
		key  string
		cut  bool
		want string
	}{
		{"app/1", false, "app/1"},
		{"", false, ""},
		{"a b", false, "a b"},
		{"\x00\xff\n", false, `"\x00\xff\n"`},
		{`"`, false, `"\""`},
		{"schlüssel", true, "schlüssel..."},
		{"schl\xc3", true, "schl..."},
		{"\xc3", true, "..."},
	} {
		if got := KeyText(c.key, c.cut); got != c.want {
			t.Errorf("%q, cut %t: %s, want %s", c.key, c.cut, got, c.want)
		}
	}
}

func slowPut() *Request {
	return &Request{
		API: "native", Kind: "put", Key: "app/1", Bytes: 300, Client: "10.0.0.9:5000", User: "ann", Outcome: "ok",
		Entry: rsm.EntryID{Index: 7, Term: 2}, Leads: true, Began: at(0), Ended: at(812),
		Phases: []Phase{{Propose, at(0), at(1)}, {Sync, at(2), at(810)}},
	}
}

func TestSlowRequestsAreLoggedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		r := NewRecorder(Config{Slow: 500 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&text, nil)), Count: metrics.NewSlow()})
		for took, want := range map[time.Duration]bool{0: false, 499 * time.Millisecond: false, 500 * time.Millisecond: true, time.Hour: true} {
			if r.Wants(took, false) != want {
				t.Errorf("a request of %s is wanted: %t", took, !want)
			}
		}
		r.Record(slowPut())
		const want = `level=WARN msg="slow request" took=812ms api=native kind=put outcome=ok key=app/1 bytes=300 client=10.0.0.9:5000 user=ann index=7 term=2 leads=true propose=1ms sync=808ms`
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("the log says %s", text.String())
		}
		for range 100 {
			r.Record(slowPut())
		}
		if n := strings.Count(text.String(), "\n"); n != slowLines {
			t.Errorf("%d lines, want %d", n, slowLines)
		}
		text.Reset()
		time.Sleep(slowPeriod)
		r.Record(slowPut())
		if !strings.Contains(text.String(), "not_logged=91") {
			t.Errorf("the log says %s", text.String())
		}
		var m dto.Metric
		if err := r.count.WithLabelValues("put").Write(&m); err != nil || m.Counter.GetValue() != 102 {
			t.Errorf("%v were counted, %v", m.Counter, err)
		}
	})
}

func TestNobodyAsks(t *testing.T) {
	for _, r := range []*Recorder{nil, NewRecorder(Config{Log: slog.New(slog.DiscardHandler)})} {
		if r.On() || r.Wants(time.Hour, false) || r.Traces() || r.Samples(Parent{}) {
			t.Errorf("%v wants requests", r)
		}
	}
}
