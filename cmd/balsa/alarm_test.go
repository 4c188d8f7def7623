package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Alarms of the etcd API and that of the quota are listed and lifted.
func TestAlarmsFromTheCommandLine(t *testing.T) {
	base := freePorts(t, 2)
	client, peer := loopback(base), loopback(base+1)
	_, stop := background(t, "ready to serve client requests", "etcd", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--quota-backend-bytes", "1000", "--bcrypt-cost", "4")
	t.Cleanup(func() { stop() })
	endpoints := "--endpoints=" + loopback(base)
	conn, err := grpc.NewClient(strings.TrimPrefix(client, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raise := func(member uint64, kind pb.AlarmType) {
		t.Helper()
		r := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: member, Alarm: kind}
		for {
			_, err := pb.NewMaintenanceClient(conn).Alarm(t.Context(), r)
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), "does not use such commands yet") { // a second after its birth it does
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	own, err := pb.NewMaintenanceClient(conn).Status(t.Context(), &pb.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	id := memberID(own.Header.MemberId)
	steps{
		{"alarm list", "", exitOK, "there is no alarm\n", ""},
		{"alarm list -o json", "", exitOK, `{"alarms":[]}` + "\n", ""},
		{"alarm disarm", "", exitOK, "there is no alarm to lift\n", ""},
	}.run(t, endpoints)
	raise(own.Header.MemberId, pb.AlarmType_NOSPACE)
	raise(77, pb.AlarmType_CORRUPT)
	const lines = "NOSPACE of default, until \"balsa alarm disarm\"\nCORRUPT of 000000000000004d, until \"balsa alarm disarm\"\n"
	steps{
		{"alarm list", "", exitOK, lines, ""},
		{"alarm ls -o json", "", exitOK, `{"alarms":[{"alarm":"NOSPACE","name":"default","id":"` + id + `","until":"disarm"},{"alarm":"CORRUPT","id":"000000000000004d","until":"disarm"}]}` + "\n", ""},
		{"put a 1", "", exitError, "", "CORRUPT"},
		{"alarm disarm", "", exitOK, lines, ""},
		{"alarm list", "", exitOK, "there is no alarm\n", ""},
		{"put a 1", "", exitOK, "version=1 revision=2\n", ""},

		{"put b " + strings.Repeat("x", 1000), "", exitError, "", "quota"},
		{"alarm list", "", exitOK, "NOSPACE of the cluster, until \"balsa alarm disarm\"\n", ""},
		{"alarm disarm -o json", "", exitOK, `{"alarms":[{"alarm":"NOSPACE","until":"disarm"}]}` + "\n", ""},
		{"alarm list", "", exitOK, "there is no alarm\n", ""},

		{"user add root:secret", "", exitOK, "added\n", ""}, {"user grant-role root root", "", exitOK, "granted\n", ""},
		{"user add ann:word", "", exitOK, "added\n", ""},
	}.run(t, endpoints)
	raise(77, pb.AlarmType_CORRUPT)
	steps{
		{"auth enable", "", exitOK, "enabled\n", ""},
		{"alarm list", "", exitDenied, "", "see --user"},
		{"alarm list --user ann:word", "", exitOK, "CORRUPT of 000000000000004d, until \"balsa alarm disarm\"\n", ""},
		{"alarm disarm --user ann:word", "", exitDenied, "", "permission denied"},
		{"alarm disarm --user root:secret -o json", "", exitOK, `{"alarms":[{"alarm":"CORRUPT","id":"000000000000004d","until":"disarm"}]}` + "\n", ""},
	}.run(t, endpoints)
	if code, _, errs := balsa(t, "", "alarm", "list", "--endpoints=127.0.0.1:1", "--timeout=50ms"); code != exitUnavailable || !strings.Contains(errs, "127.0.0.1:1") {
		t.Errorf("without a server: %d %q", code, errs)
	}
}
