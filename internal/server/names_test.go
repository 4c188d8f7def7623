package server

import (
	"log/slog"
	"strings"
	"testing"

	"balsa/raft"
)

func TestLogsShowMembersByName(t *testing.T) {
	cluster, err := ParseCluster("t", "a=http://h:1,b=http://h:2")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	log := slog.New(naming{slog.NewTextHandler(&out, nil), cluster}).With("peer", NodeID("t", "b"))
	log.Info("hello", "leader", NodeID("t", "a"), "vote", raft.None, "stranger", raft.NodeID(77), "n", 3)
	if want := "msg=hello peer=b leader=a vote=none stranger=n77 n=3\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
