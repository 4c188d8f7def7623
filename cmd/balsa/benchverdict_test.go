package main

import (
	"strings"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/internal/loadgen"
)

// loaded is a load of ten seconds in which nothing was busy, and of which nothing is known to be the limit.
func loaded() *benchFigures {
	leader := func(uptime uint64, w *api.Work) *api.StatusReply {
		return &api.StatusReply{
			Name: "n2", NodeId: 2, Role: api.Role_LEADER, UptimeMs: uptime, Work: w, Resources: &api.Resources{Processors: 4},
			Peers: []*api.Peer{{NodeId: 1, RoundTripUs: 100}, {NodeId: 3, RoundTripUs: 900}},
		}
	}
	puts := &loadgen.Summary{Ops: 100_000, Elapsed: 10 * time.Second, PerSecond: 10_000, Latency: loadgen.Latency{
		Mean: 6 * time.Millisecond, P50: 5 * time.Millisecond, P99: 12 * time.Millisecond,
	}}
	return &benchFigures{
		report: &loadgen.Report{Load: loadgen.Load{Callers: 64}, Elapsed: 10 * time.Second, Puts: puts},
		before: leader(1000, &api.Work{}), after: leader(11_000, &api.Work{Syncs: 5000, SyncUs: 5_000_000, ProcessorUs: 24_000_000}),
		client: 20 * time.Second, processors: 4, roundTrip: 200 * time.Microsecond,
	}
}

// Each limit is concluded from figures, and none without.
func TestVerdictOfABench(t *testing.T) {
	for _, tt := range []struct {
		name  string
		what  func(*benchFigures)
		limit limit
		why   string
	}{
		{"nothing was busy all the time", func(*benchFigures) {}, limitUnknown, "not known: nothing that was measured was busy"},
		{"the disk is busy", func(f *benchFigures) { f.after.Work.SyncUs = 8_000_000 }, limitDisk, "syncs of the disk of the leader n2"},
		{"the disk is busy, and only reads were made", func(f *benchFigures) {
			f.after.Work.SyncUs = 8_000_000
			f.report.Gets, f.report.Puts = f.report.Puts, nil
		}, limitUnknown, ""},
		{"one caller, and a slow disk", func(f *benchFigures) { f.report.Puts.Latency.Mean = 1500 * time.Microsecond }, limitDisk, "67 % of the time that an operation takes"},
		{"a long way", func(f *benchFigures) { f.roundTrip = 4 * time.Millisecond }, limitNetwork, "68 % of the time"},
		{"a way that takes longer than an operation", func(f *benchFigures) { f.roundTrip = 40 * time.Millisecond }, limitUnknown, ""},
		{"the client", func(f *benchFigures) { f.client = 35 * time.Second }, limitClient, "this client"},
		{"the leader", func(f *benchFigures) { f.after.Work.ProcessorUs = 36_000_000 }, limitServer, "processors of the leader n2"},
		{"one machine for all", func(f *benchFigures) { f.servers = sameMachine }, limitMachine, "processors of this machine"},
		{"a rate", func(f *benchFigures) { f.report.Load.Rate = 10_000 }, limitRate, "the rate that was asked for"},
		{"a rate that is not reached", func(f *benchFigures) { f.report.Load.Rate = 20_000 }, limitUnknown, ""},
		{"a long way of which an earlier look knows better", func(f *benchFigures) { f.after.Peers[0].RoundTripUs, f.after.Peers[1].RoundTripUs = 9000, 9000 }, limitUnknown, ""},
		{"few callers", func(f *benchFigures) {
			f.after.Work.SyncUs, f.after.Work.ProcessorUs, f.client = 1_000_000, 4_000_000, 2*time.Second
		}, limitCallers, "the number of callers, 64"},
		{"few callers, and it is not known what this client used", func(f *benchFigures) {
			f.after.Work.SyncUs, f.after.Work.ProcessorUs, f.client = 1_000_000, 4_000_000, 0
		}, limitUnknown, ""},
		{"an election", func(f *benchFigures) { f.before, f.after = nil, nil }, limitUnknown, "no leader told"},
		{"an older server", func(f *benchFigures) { f.before.Work, f.after.Work = nil, nil }, limitUnknown, "no leader told"},
		{"errors", func(f *benchFigures) { f.report.Errors = map[string]int64{"timeout": 5000} }, limitUnknown, "5 % of the operations failed"},
		{"nothing succeeded", func(f *benchFigures) { f.report.Puts = nil }, limitUnknown, "not known"},
	} {
		f := loaded()
		tt.what(f)
		v := f.judge()
		if v.Limit != tt.limit || !strings.Contains(v.Why, tt.why) || v.Can == "" || v.Limit == limitUnknown && !strings.Contains(v.Why, "not known") {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
}

func TestTextOfAVerdict(t *testing.T) {
	f := loaded()
	f.after.Work.SyncUs = 8_000_000
	var b strings.Builder
	if err := f.judge().write(&b); err != nil {
		t.Fatal(err)
	}
	want := `verdict
  this cluster: it did 10,000 puts per second for 64 callers; half of them took up to 5.00 ms, 99 of
                100 up to 12.0 ms
  limited by: the syncs of the disk of the leader n2: writes wait for them, and share them
  measured: a sync of the leader's log was under way for 80 % of the time (5,000 of 1.60 ms each);
            the leader's process used 2.4 of 4 processors; this client 2.0 of 4; the round trips
            that an operation waits for take 300 µs
`
	if b.String() != want {
		t.Errorf("%s", &b)
	}
}

func TestVerdictOfReadsAndWrites(t *testing.T) {
	f := loaded()
	f.report.Load.Reads = 0.5
	f.report.Gets = f.report.Puts
	if v := f.judge(); !strings.Contains(v.Can, "of which 50 % were reads") {
		t.Errorf("%+v", v)
	}
}
