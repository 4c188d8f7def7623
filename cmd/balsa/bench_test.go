package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"balsa.example/clerk"
	"balsa.example/internal/loadgen"
)

// benched runs a bench command and returns its report.
func benched(t *testing.T, args ...string) loadgen.Report {
	t.Helper()
	code, out, errs := balsa(t, "", append(args, "-o", "json")...)
	var r loadgen.Report
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil {
		t.Fatalf("%q: code %d, out %q, err %q (%v)", args, code, out, errs, err)
	}
	return r
}

func TestBench(t *testing.T) {
	base := freePorts(t, 30)
	_, stop := background(t, "Ctrl-C", "dev", "--base-port", fmt.Sprint(base), "--data-dir", filepath.Join(t.TempDir(), "dev"))
	endpoints := "--endpoints=" + loopback(base)

	r := benched(t, "bench", "put", endpoints, "--ops", "100", "--callers", "8", "--connections", "3", "--keys", "20", "--distribution", "sequential")
	if r.Puts == nil || r.Puts.Ops != 100 || r.Gets != nil || r.Failed() != 0 {
		t.Errorf("put: %+v", r)
	}
	key := loadgen.Key(19, 16)
	if code, out, errs := balsa(t, "", "get", key, "-o", "json", endpoints); code != exitOK || !strings.Contains(out, `"version":5,`) {
		t.Errorf("after 100 puts of 20 keys in turn: %d %q %q", code, out, errs)
	}
	for _, consistency := range []string{"linearizable", "lease", "local"} {
		r = benched(t, "bench", "get", endpoints, "--ops", "50", "--keys", "20", "--fill=false", "--consistency", consistency)
		if r.Gets == nil || r.Gets.Ops != 50 || r.Puts != nil || r.Failed() != 0 {
			t.Errorf("get, %s: %+v", consistency, r)
		}
	}
	r = benched(t, "bench", "mixed", endpoints, "--ops", "200", "--keys", "30", "--read-ratio", "0.8", "--distribution", "zipf")
	if r.Gets == nil || r.Puts == nil || r.Ops() != 200 || r.Gets.Ops < 120 || r.Gets.Ops > 195 {
		t.Errorf("mixed: %+v", r)
	}
	if code, out, errs := balsa(t, "", "get", loadgen.Key(29, 16), endpoints); code != exitOK || len(out) != 256+1 {
		t.Errorf("after keys were filled: %d %q %q", code, out, errs)
	}
	code, out, errs := balsa(t, "", "bench", "get", endpoints, "--ops", "5", "--keys", "5")
	if code != exitOK || !strings.HasPrefix(out, "gets  5 in ") || !strings.Contains(errs, "writing 5 keys\n") || !strings.Contains(out, "\nverdict\n  this cluster: it did ") {
		t.Errorf("get as text: %d %q %q", code, out, errs)
	}
	checkStoreBenches(t, fmt.Sprintf("%s,%s,%s", endpoints, loopback(base+1), loopback(base+2)))
	checkInterruptedBench(t, endpoints)
	code, out, errs = balsa(t, "", "bench", "put", endpoints, "--value-size", "2000000", "--duration", "1h")
	if code != exitUsage || out != "" || !strings.Contains(errs, "too large") {
		t.Errorf("values that nobody takes: %d %q %q", code, out, errs)
	}

	stop()
	if code, out, errs := balsa(t, "", "bench", "put", endpoints, "--timeout", "300ms"); code != exitUnavailable || out != "" || strings.Count(errs, "\n") != 1 {
		t.Errorf("without servers: %d %q %q", code, out, errs)
	}
}

// checkStoreBenches runs the loads that take more than puts and gets.
func checkStoreBenches(t *testing.T, endpoints string) {
	t.Helper()
	keys := []string{endpoints, "--ops", "50", "--keys", "20"}
	if r := benched(t, append([]string{"bench", "txn"}, keys...)...); r.Txns == nil || r.Txns.Ops != 50 || r.Failed() != 0 {
		t.Errorf("txn: %+v", r)
	}
	if r := benched(t, append([]string{"bench", "update", "--callers", "4"}, keys...)...); r.Updates == nil || r.Updates.Ops != 50 || r.Failed() != 0 {
		t.Errorf("update: %+v", r)
	}
	if r := benched(t, append([]string{"bench", "range", "--range-keys", "20"}, keys...)...); r.Ranges == nil || r.Ranges.Ops != 50 || r.Failed() != 0 {
		t.Errorf("range: %+v", r)
	}
	if r := benched(t, append([]string{"bench", "watch", "--watchers", "3"}, keys...)...); r.Deliveries == nil || r.Deliveries.Ops != 150 || r.Puts.Ops != 50 || r.Failed() != 0 {
		t.Errorf("watch: %+v", r)
	}
	if r := benched(t, "bench", "lease", endpoints, "--leases", "30", "--ops", "50"); r.Grants == nil || r.Grants.Ops != 30 || r.KeepAlives.Ops != 50 || r.Failed() != 0 {
		t.Errorf("lease: %+v", r)
	}
}

// checkInterruptedBench ends a run that would take an hour after its first second.
func checkInterruptedBench(t *testing.T, endpoints string) {
	t.Helper()
	output, stop := background(t, "  1s ", "bench", "put", endpoints, "--duration", "1h")
	if code := stop(); code != exitOK {
		t.Errorf("code %d: %s", code, output)
	}
	for _, part := range []string{"\nputs  ", "\n  p50 ", "\ninterrupted before its end\n"} {
		if !strings.Contains(output.String(), part) {
			t.Errorf("no %q in %s", part, output)
		}
	}
}

func TestBenchWrongUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"nonsense", "nonsense"},
		{"put a", "takes no arguments"},
		{"put --callers 0", "callers"},
		{"put --connections 0", "--connections"},
		{"put --key-size 4", "key size"},
		{"put --distribution odd", "distribution"},
		{"put --read-ratio 0.5", "--read-ratio"},
		{"put --consistency local", "--consistency"},
		{"put --duration -1s", "negative"},
		{"mixed --read-ratio 2", "read ratio"},
		{"get --consistency some", "--consistency"},
		{"get --timeout 0s", "--timeout"},
		{"range --range-keys 10001", "range"},
		{"watch --watchers -1", "watchers"},
		{"watch --value-size 8", "value size"},
		{"lease --leases 0", "keys"},
		{"lease --key-size 20", "--key-size"},
		{"get --endpoints nowhere", "nowhere"},
	} {
		code, out, errs := balsa(t, "", append([]string{"bench"}, strings.Fields(test.args)...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, test.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("bench %s: code %d, out %q, err %q", test.args, code, out, errs)
		}
	}
	if code, out, _ := balsa(t, "", "bench"); code != exitOK || !strings.Contains(out, "mixed") {
		t.Errorf("bench alone: %d %q", code, out)
	}
}

func TestErrorsOfABenchByKind(t *testing.T) {
	for _, test := range []struct {
		err  error
		kind string
	}{
		{errors.Join(clerk.ErrMaybe, context.DeadlineExceeded), "maybe"},
		{errors.Join(context.DeadlineExceeded, clerk.ErrBusy), "busy"},
		{errors.Join(context.DeadlineExceeded, clerk.ErrWrongLeader), "no leader"},
		{errors.Join(context.DeadlineExceeded, clerk.ErrUnavailable), "unavailable"},
		{context.DeadlineExceeded, "timeout"},
		{clerk.ErrTooLarge, "too large"},
		{clerk.ErrInvalid, "invalid"},
		{clerk.ErrNoKey, "no key"},
		{clerk.ErrNoLease, "no lease"},
		{errors.New("odd"), "other"},
	} {
		if got := kindOf(test.err); got != test.kind {
			t.Errorf("%v is of kind %q, want %q", test.err, got, test.kind)
		}
	}
}
