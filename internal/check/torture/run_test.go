package main

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/check/history"
)

var mutant = flag.Bool("mutant", false, "also run a cluster whose log does not sync, for a minute, which needs root")

func testOptions(args ...string) (o options) {
	f := flag.NewFlagSet("torture", flag.PanicOnError)
	o.register(f)
	f.Parse(args)
	return o
}

func kinds(o options) (all []string) {
	t := &torture{o: o, rng: rand.New(rand.NewPCG(o.seed, 0))}
	for _, f := range t.schedule() {
		all = append(all, f.kind)
	}
	return all
}

func TestScheduleMixesAllByTheSeed(t *testing.T) {
	args := []string{"-seed=1", "-kills=5", "-pauses=4", "-network=6", "-power-losses=10", "-full-disk=3", "-log-readers=3", "-hung-disk=2"}
	all := kinds(testOptions(args...))
	count := map[string]int{}
	for _, kind := range all {
		count[kind]++
	}
	for kind, want := range map[string]int{kindKill: 5, kindPause: 4, kindNetwork: 6, kindFull: 3, kindLogStops: 2, kindLogEnds: 1, kindHung: 2, kindCatchUp: 1, kindAll: 1} {
		if count[kind] != want {
			t.Errorf("%d times %s, want %d", count[kind], kind, want)
		}
	}
	for _, kind := range powerLosses {
		if n := count[kind]; n < 2 || n > 3 {
			t.Errorf("%d times %s, want 10 losses spread over %d kinds", n, kind, len(powerLosses))
		}
	}
	if again := kinds(testOptions(args...)); !slices.Equal(all, again) {
		t.Errorf("the same seed gives\n%q and\n%q", all, again)
	}
	args[0] = "-seed=2"
	if other := kinds(testOptions(args...)); slices.Equal(all, other) {
		t.Error("another seed gives the same order")
	}
	if slices.IsSorted(all[:len(all)-2]) {
		t.Errorf("the faults are not mixed: %q", all)
	}
}

func TestRecoveryIsMeasuredToAWriteThatWasSentAfterTheFault(t *testing.T) {
	at := time.Now().Add(-time.Minute)
	after := func(ms int) time.Time { return at.Add(time.Duration(ms) * time.Millisecond) }
	l := &load{acked: []time.Time{after(-9), after(-1), after(5), after(105), after(110)}}
	// That of 5 ms may have been sent before the fault.
	if took, err := l.resumed(t.Context(), at, 2*time.Minute); took != 105*time.Millisecond || err != nil {
		t.Errorf("took %v, %v; want 105ms", took, err)
	}
	if _, err := l.resumed(t.Context(), after(107), 0); err == nil {
		t.Error("one write after the fault is enough")
	}
	l.acked = append(l.acked, time.Now().Add(time.Hour))
	if got := l.stalled(after(110)); got < time.Hour {
		t.Errorf("stalled for %v, want an hour and a minute", got)
	}
}

func TestSpread(t *testing.T) {
	var all []time.Duration
	for ms := range 101 {
		all = append(all, time.Duration(100-ms)*time.Millisecond)
	}
	if got, want := newSpread(all), (spread{101, 0, 50, 99, 100}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := newSpread(all[:2]), (spread{2, 99, 99, 100, 100}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// An epoch whose writes have revisions of an earlier one saw a store that had forgotten.
func TestJudgeComparesEpochs(t *testing.T) {
	epoch := func(revision uint64) []history.Op {
		return []history.Op{{Kind: history.Put, Key: "k", Value: "v", Outcome: history.OK, Revision: revision, Return: 1}}
	}
	j := newJudge(t.TempDir())
	for _, revision := range []uint64{5, 6, 9} {
		if err := j.check(epoch(revision)); err != nil {
			t.Errorf("revision %d: %v", revision, err)
		}
	}
	if err := j.check(epoch(9)); err == nil {
		t.Error("a revision came again in a later epoch")
	}
}

func TestEveryPeerConnectionHasAProxy(t *testing.T) {
	members := []*member{
		{index: 0, name: "n1", client: "127.0.0.1:1", peer: "127.0.0.1:2"},
		{index: 1, name: "n2", client: "127.0.0.1:3", peer: "127.0.0.1:4"},
		{index: 2, name: "n3", client: "127.0.0.1:5", peer: "127.0.0.1:6"},
	}
	n, err := newNetwork(members, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	used := map[string]bool{}
	for _, m := range members {
		for i, part := range strings.Split(n.seenBy(m), ",") {
			name, url, _ := strings.Cut(part, "=http://")
			to := members[i]
			if name != to.name || (url == to.peer) != (to == m) || used[url] {
				t.Errorf("%s sees %s at %s", m.name, name, url)
			}
			used[url] = true
		}
	}
	if got := len(n.allOf(members[0]).proxies); got != 5 {
		t.Errorf("%d proxies reach n1, want two for each of two peers and one for clients", got)
	}
}

func TestTheSyncCanBeLeftOut(t *testing.T) {
	dir := t.TempDir()
	if _, err := overlayWithoutSync(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "save-without-sync.go")); err != nil {
		t.Error(err)
	}
}

// A rig that finds nothing has to be shown to look.
func TestPowerLossesFindALogWithoutSync(t *testing.T) {
	if !*mutant {
		t.Skip("needs -mutant")
	}
	testDisk(t)
	o := testOptions("-seed=1", "-kills=0", "-pauses=0", "-power-losses=4", "-without-sync", "-catch-up=false", "-restart=false")
	o.dir = filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	err := run(ctx, o)
	if err == nil || !strings.Contains(err.Error(), errLost.Error()) {
		t.Errorf("the run ended with %v, want %v", err, errLost)
	}
}
