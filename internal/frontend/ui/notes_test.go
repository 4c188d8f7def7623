package ui

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// three is a cluster that is well.
func three(change func(*Overview)) *Overview {
	o := &Overview{Now: 1_000_000, Leader: "1"}
	for _, name := range []string{"n1", "n2", "n3"} {
		o.Members = append(o.Members, Member{
			ID: name[1:], Name: name, Voter: true, Started: true, Connected: true, Report: &Report{Role: "follower", Version: "1.0"},
		})
	}
	change(o)
	return o
}

func TestWhatIsWrongIsTold(t *testing.T) {
	day := (24 * time.Hour).Milliseconds()
	for _, tt := range []struct {
		name   string
		change func(*Overview)
		want   []string // beginning with ! what is grave
	}{
		{"nothing", func(*Overview) {}, nil},
		{"one is away", func(o *Overview) { o.Members[1].Connected = false },
			[]string{"!No further voter may fail: 1 of 3 are away.", "n2 does not answer."}},
		{"an election", func(o *Overview) { o.Leader = "" },
			[]string{"!No leader is known here, so nothing can be written. An election takes about a second."}},
		{"no majority", func(o *Overview) { o.Leader, o.Members[1].Connected, o.Members[2].Connected = "", false, false },
			[]string{"!No leader is known here, and 2 of 3 voters do not answer: a majority must be reached before anything can be written.", "n2 does not answer.", "n3 does not answer."}},
		{"a place", func(o *Overview) { o.Members[2].Started, o.Members[2].Voter = false, false }, []string{"n3 has a place, and has not started yet."}},
		{"alarms", func(o *Overview) { o.Members[0].Report.Alarms = []string{"low_space", "of_tomorrow"} },
			[]string{"!n1: the disk is almost full, and writes are refused.", "!n1: of_tomorrow."}},
		{"an alarm of a witness", func(o *Overview) { o.Members[0].Report.AlarmText = "full" }, []string{"!n1: full."}},
		{"lag", func(o *Overview) { o.Members[1].Behind = 20_000 }, []string{"n2 is 20000 entries behind the leader."}},
		{"a slow disk", func(o *Overview) { o.Members[1].Report.DiskWait = 5200 }, []string{"!n2 has waited for its disk for 5s."}},
		{"a state that differs", func(o *Overview) { o.Members[1].Diverged = true }, []string{"!n2: its state differs from that of a majority. It must be rebuilt."}},
		{"versions", func(o *Overview) { o.Members[1].Report.Version = "0.9" }, []string{"The members run different versions: 0.9, 1.0. Finish the upgrade."}},
		{"a certificate", func(o *Overview) {
			o.Members[0].Report.Certificates = []Certificate{{"client", o.Now + 30*day, 0}, {"peer", o.Now + 10*day, o.Now - 1}}
		}, []string{"!n1: the certificate authority for peers has expired.", "n1: the certificate for peers expires in 10 days."}},
		{"a certificate of today", func(o *Overview) {
			o.Members[0].Report.Certificates = []Certificate{{"client", o.Now + day/2, 0}}
		}, []string{"!n1: the certificate for clients expires in 12 hours."}},
		{"who waits", func(o *Overview) {
			o.Members[0].Report.Role, o.Members[0].Report.Waiting = "waiting", "n2 is not reached"
		},
			[]string{"n1: n2 is not reached."}},
		{"who does not say", func(o *Overview) { o.Members[0].Report = nil }, nil},
	} {
		var got []string
		for _, n := range notes(three(tt.change)) {
			text := n.Text
			if n.Grave {
				text = "!" + text
			}
			got = append(got, text)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

func TestWhatAChangeWillDoIsTold(t *testing.T) {
	n := func(names string) []string { return strings.Fields(names) }
	for _, tt := range []struct {
		c    Change
		o    Outlook
		want string
	}{
		{Change{Do: "add", Name: "n4"}, Outlook{Before: n("n1 n2 n3"), After: n("n1 n2 n3"), Silent: n("n3")},
			"n4 gets a place in the cluster. Nothing else happens until a server is started for it. As soon as it is caught up it votes. Then 4 members vote, and 1 of them may fail. Mind that n3 does not answer now."},
		{Change{Do: "add", Name: "n4", Learner: true}, Outlook{},
			"n4 gets a place in the cluster. Nothing else happens until a server is started for it. It gets all that is written, and does not vote until it is promoted."},
		{Change{Do: "remove"}, Outlook{Member: "n1", Before: n("n1 n2"), After: n("n2"), LeaderLeaves: true},
			"n1 is removed for good: its process ends, and its data directory is of no use any more. n1 leads. It hands over to another member first. Afterwards 1 member votes, and the cluster stops whenever it does."},
		{Change{Do: "remove"}, Outlook{Member: "l1", Before: n("n1 n2"), After: n("n1 n2")},
			"l1 is removed for good: its process ends, and its data directory is of no use any more. Who votes stays the same."},
		{Change{Do: "promote"}, Outlook{Member: "n3", Before: n("n1 n2"), After: n("n1 n2 n3"), Silent: n("n1 n2")},
			"n3 votes from now on. Afterwards 3 members vote, and 1 of them may fail. Mind that n1 and n2 do not answer now."},
		{Change{Do: "replace"}, Outlook{Member: "n3"},
			"A place is made for a server that takes over from n3. Nothing else happens until that server is started. When it is caught up it votes, and n3 is removed for good, in one step."},
	} {
		if got := strings.Join(tt.c.sentences(&tt.o), " "); got != tt.want {
			t.Errorf("%+v: %s\nwant %s", tt.c, got, tt.want)
		}
	}
}
