package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/protobuf/proto"
)

// The list of etcd's flags, which package etcdconfig is tested with, is etcd's own.
func TestFlagsAreThoseOfEtcd(t *testing.T) {
	data, err := os.ReadFile("../internal/etcdconfig/testdata/flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	fs := flag.NewFlagSet("etcd", flag.ContinueOnError)
	embed.NewConfig().AddFlags(fs)
	fs.VisitAll(func(f *flag.Flag) { fmt.Fprintf(&want, "%s %s\n", f.Name, f.DefValue) })
	if !strings.Contains(string(data), "\n"+want.String()) {
		t.Errorf("the file has not these flags, in this order:\n%s", &want)
	}
}

func TestDifferencesAreFound(t *testing.T) {
	etcd := records{{name: "kv/a", lines: []string{"get: 1", "get: 2", "put: 3"}}, {name: "kv/b", lines: []string{"get: 1"}}}
	for name, test := range map[string]struct {
		balsa records
		ok    bool
		says  string
	}{
		"equal":       {etcd, true, "all                 2        4        4"},
		"another":     {records{{name: "kv/a", lines: []string{"get: 1", "get: x", "put: 3"}}}, false, "etcd   get (2): 2\n  balsa  get (2): x"},
		"less":        {records{{name: "kv/a", lines: []string{"get: 1", "get: 2"}}}, false, "balsa  put: (nothing)"},
		"more":        {records{{name: "kv/b", lines: []string{"get: 1", "more: 1"}}}, false, "etcd   more: (nothing)"},
		"not recored": {records{{name: "kv/c"}}, false, "not recorded"},
	} {
		var out strings.Builder
		if ok := report(&out, test.balsa, etcd); ok != test.ok || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: %t, %s", name, ok, &out)
		}
	}
}

func TestRender(t *testing.T) {
	m := masks{base: 100}
	for _, test := range []struct {
		msg  proto.Message
		want string
	}{
		{&pb.PutResponse{Header: &pb.ResponseHeader{ClusterId: 7, MemberId: 8, RaftTerm: 9, Revision: 101}}, "{header:head@+1}"},
		{&pb.PutResponse{Header: &pb.ResponseHeader{Revision: 101}}, "{header:{revision:+1}}"},
		{&pb.PutResponse{Header: &pb.ResponseHeader{ClusterId: 7, Revision: 99}}, "{header:{cluster_id:* revision:before}}"},
		{&mvccpb.KeyValue{Key: []byte("a"), ModRevision: 105, Lease: 1 << 60}, `{key:"a" mod_revision:+5 lease:L1}`},
		{&pb.LeaseRevokeRequest{ID: 1<<60 + 1}, "{ID:L2}"},
		{&pb.LeaseRevokeRequest{ID: 1 << 60}, "{ID:L1}"},
		{&pb.CompactionRequest{Revision: -1}, "{revision:-1}"},
		{&pb.RangeRequest{Key: []byte("a"), SortOrder: pb.RangeRequest_DESCEND}, `{key:"a" sort_order:DESCEND}`},
	} {
		if got := m.render(test.msg); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestNamesOfChecksDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range allChecks() {
		if seen[c.name] || !strings.Contains(c.name, "/") {
			t.Errorf("%s", c.name)
		}
		seen[c.name] = true
	}
	for name := range missing {
		if !seen[name] {
			t.Errorf("%s is said to be missing, and is no check", name)
		}
	}
}

// Programs print the same message with one space between its fields or with two.
func TestTextOfMessages(t *testing.T) {
	const want = "memberID:7 alarm:NOSPACE"
	for _, printed := range []string{want, "memberID:7  alarm:NOSPACE"} {
		if got := new(masks).text(printed); got != want {
			t.Errorf("%q becomes %q", printed, got)
		}
	}
}
