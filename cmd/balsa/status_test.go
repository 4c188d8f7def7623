package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/wal"
)

// A member that has stopped for good cannot say so itself: those that know do.
func TestStatusTellsWhoIsShutOut(t *testing.T) {
	peers := []*api.Peer{
		{NodeId: 2, Name: "n2", ClientUrls: []string{"http://h2:1"}, Progress: api.Peer_LOST},
		{NodeId: 3, Name: "n3", ClientUrls: []string{"http://h3:1"}, Diverged: true},
		{NodeId: 4, Name: "n4", ClientUrls: []string{"http://h4:1"}, Progress: api.Peer_PROBE},
	}
	answers := []clerk.ServerStatus{
		{Endpoint: "http://h1:1", Status: &api.StatusReply{NodeId: 1, Name: "n1", Role: api.Role_LEADER, Peers: peers}},
		{Endpoint: "http://h5:1", Status: &api.StatusReply{NodeId: 5, Name: "n5", Peers: []*api.Peer{{NodeId: 3, Name: "n3", Diverged: true}}}},
	}
	for _, p := range peers {
		answers = append(answers, clerk.ServerStatus{Endpoint: p.ClientUrls[0], Err: errors.New("refused")})
	}
	var nodes []nodeStatus
	for _, a := range answers {
		nodes = append(nodes, describe(a, namesIn(answers)))
	}
	if got := fmt.Sprint(nodes[0].Lost, nodes[0].Diverged, nodes[1].Lost, nodes[1].Diverged); got != "[n2] [n3] [] [n3]" {
		t.Errorf("lost and diverged: %s", got)
	}
	var text strings.Builder
	if err := writeTable(&text, nodes); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	for line, want := range map[int][]string{
		3: {"n2 ", "  lost  "}, 4: {"n3 ", "  diverged  "}, 5: {"n4 ", "  unreachable  "},
		6: {"n2: it has lost entries", "says n1", "must be rebuilt"},
		7: {"n3: its state differs", "says n1", "must be rebuilt"},
		8: {""},
	} {
		for _, part := range want {
			if !strings.Contains(lines[line], part) || part == "" && lines[line] != "" {
				t.Errorf("line %d is %q, want %q", line, lines[line], part)
			}
		}
	}
}

func TestExitCodesOfServersThatStopForGood(t *testing.T) {
	for err, want := range map[error]int{rsm.ErrDiverged: 8, raft.ErrLostLog: 9, &wal.CorruptionError{File: "f"}: 17, errors.New("other"): 1} {
		if code := exitCode(fmt.Errorf("replica stopped: %w", err)); code != want {
			t.Errorf("%v: %d, want %d", err, code, want)
		}
	}
}

// A witness is called so, and what it does for the majority counts, although nobody can ask it.
func TestStatusOfAClusterWithAWitness(t *testing.T) {
	peers := []*api.Peer{
		{NodeId: 2, Name: "n2", ClientUrls: []string{"http://h2:1"}},
		{NodeId: 3, Name: "w", Connected: true, Witness: true},
	}
	leads := clerk.ServerStatus{Endpoint: "http://h1:1", Status: &api.StatusReply{NodeId: 1, Name: "n1", Role: api.Role_LEADER, Term: 1, LeaderId: 1, Peers: peers}}
	down := clerk.ServerStatus{Endpoint: "http://h2:1", Err: errors.New("refused")}
	witness := clerk.ServerStatus{Endpoint: "http://h3:1", Status: &api.StatusReply{NodeId: 3, Name: "w", Term: 1, LeaderId: 1, Witness: true}}
	for _, answers := range [][]clerk.ServerStatus{{leads, down}, {leads, down, witness}} {
		var nodes []nodeStatus
		for _, a := range answers {
			nodes = append(nodes, describe(a, namesIn(answers)))
		}
		if err := new(connection).verdict(nodes); err != nil {
			t.Errorf("%d are asked: %v", len(answers), err)
		}
		if len(answers) < 3 {
			continue
		}
		var text strings.Builder
		if err := writeTable(&text, nodes); err != nil || !strings.Contains(text.String(), "w     h3:1      witness  ") {
			t.Errorf("%v\n%s", err, text.String())
		}
		if w := nodes[2]; !w.Witness || w.Role != "follower" || rowOf(&w, nil, nil).role != "witness" {
			t.Errorf("the witness is %+v", w)
		}
	}
	s := &surveyor{members: peers}
	for connected, want := range map[bool]string{true: "w     no client address  witness  ", false: "w     no client address  unreachable  "} {
		peers[1].Connected = connected
		answers := []clerk.ServerStatus{leads, down}
		nodes := []nodeStatus{describe(leads, namesIn(answers)), describe(down, namesIn(answers))}
		nodes = append(nodes, s.unasked(nodes)...)
		var text strings.Builder
		if err := writeTable(&text, nodes); err != nil || len(nodes) != 3 || !strings.Contains(text.String(), want) {
			t.Errorf("%v\n%s", err, text.String())
		}
		if err := new(connection).verdict(nodes); (err == nil) != connected {
			t.Errorf("connected %t: %v", connected, err)
		}
		if again := s.unasked(nodes); len(again) > 0 {
			t.Errorf("a second row: %+v", again)
		}
	}
	peers[1].Connected = false
	nodes := []nodeStatus{describe(leads, namesIn([]clerk.ServerStatus{leads})), describe(down, directory{})}
	if err := new(connection).verdict(nodes); exitCode(err) != exitUnavailable {
		t.Errorf("without the witness: %v", err)
	}
}
