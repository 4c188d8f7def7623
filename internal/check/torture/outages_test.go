package main

import (
	"context"
	"flag"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestOutagesAreOfAllLengths(t *testing.T) {
	o := testOptions("-outages=5", "-shortest=1s", "-longest=16s")
	for i, d := range o.outageLengths() {
		if want := time.Second << i; d.Round(time.Millisecond) != want {
			t.Errorf("outage %d takes %v, want %v", i, d, want)
		}
	}
	if all := kinds(testOptions("-seed=1", "-kills=0", "-outages=14")); !strings.Contains(strings.Join(all, ";"), outageMoved) {
		t.Errorf("the faults are %q", all)
	}
}

func TestNetnsStandsAlone(t *testing.T) {
	settled := func(args ...string) (options, error) {
		var o options
		f := flag.NewFlagSet("torture", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		o.register(f)
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		return o, o.validate(f)
	}
	if o, err := settled("--netns", "--outages=3", "--pauses=1"); err != nil || o.kills != 0 || o.pauses != 1 || o.catchUp || o.restart {
		t.Errorf("%+v, %v", o, err)
	}
	for want, args := range map[string][]string{
		"--outages needs --netns": {"--outages=1"},
		"do not go together":      {"--netns", "--network=1"},
		"--longest":               {"--netns", "--longest=1ms"},
		"unexpected argument":     {"x"},
		"--election":              {"--election=1ms"},
		"--nodes":                 {"--nodes=1"},
	} {
		if _, err := settled(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

func TestResolver(t *testing.T) {
	r, err := newResolver("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	ask := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", r.conn.LocalAddr().String())
	}}
	for _, address := range []string{"10.1.0.2", "10.1.0.3"} {
		r.set("n1.test", address)
		if got, err := ask.LookupHost(t.Context(), "n1.test"); err != nil || len(got) != 1 || got[0] != address {
			t.Errorf("got %v, %v, want %s", got, err, address)
		}
	}
	if got, err := ask.LookupHost(t.Context(), "n2.test"); err == nil {
		t.Errorf("a name that nobody has set: %v", got)
	}
	for _, query := range []string{"", "short", strings.Repeat("x", 30), strings.Repeat("\x00", 13)} {
		if r.answer([]byte(query)) != nil {
			t.Errorf("an answer to %q", query)
		}
	}
}

// An acknowledgement that came before the call of resumed counts from when it came.
func TestResumedMayBeAskedLate(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	l := &load{acked: []time.Time{at.Add(-time.Second), at.Add(time.Second), at.Add(2 * time.Second)}}
	if took, err := l.resumed(t.Context(), at, 2*time.Second); err != nil || took != 2*time.Second {
		t.Errorf("%v, %v", took, err)
	}
	if took, err := l.resumed(t.Context(), at, time.Second); err == nil {
		t.Errorf("back after %v", took)
	}
}
