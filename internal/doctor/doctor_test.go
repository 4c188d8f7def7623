package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
)

var now = time.Date(2026, 11, 26, 15, 0, 0, 0, time.UTC)

// healthy is a cluster of three, on a machine of its own each, as it should be.
func healthy() *Facts {
	f := &Facts{Now: now, FromLeader: true}
	for i := range uint64(3) {
		name := fmt.Sprint("n", i+1)
		f.Members = append(f.Members, clerk.Member{
			ID: i + 1, Name: name, Voter: true, Started: true, Active: true, CaughtUp: true,
			PeerURLs: []string{fmt.Sprintf("https://10.0.0.%d:23800", i+1)}, ClientURLs: []string{fmt.Sprintf("https://10.0.0.%d:23790", i+1)},
		})
		s := Server{Endpoint: fmt.Sprintf("https://10.0.0.%d:23790", i+1), Name: name, Asked: now, RoundTrip: 2 * time.Millisecond}
		s.First, s.Second = answer(i+1, 1), answer(i+1, 2)
		f.Servers = append(f.Servers, s)
		f.Certificates = append(f.Certificates, Certificate{Endpoint: s.Endpoint, Expires: now.Add(90 * 24 * time.Hour)})
		f.Ports = append(f.Ports, Port{Of: name, Address: fmt.Sprintf("10.0.0.%d:23800", i+1)})
	}
	f.Machine = &Machine{Dir: "/data", Free: 100 << 30, OpenFiles: 65536, Memory: 8 << 30, MemoryLimit: 8 << 30, Processors: 4}
	for i := range 100 {
		f.Machine.Syncs = append(f.Machine.Syncs, time.Duration(i+100)*10*time.Microsecond)
	}
	f.Backups = &Backups{Dir: "/backup", Newest: now.Add(-5 * time.Hour)}
	return f
}

// answer is what a server says at the first or second look. n2 leads.
func answer(id, look uint64) *api.StatusReply {
	r := &api.StatusReply{
		Name: fmt.Sprint("n", id), NodeId: id, ClusterId: 7, ServerVersion: "v0.1.0", Role: api.Role_FOLLOWER, Term: 4, LeaderId: 2,
		CommitIndex: 1000 * look, AppliedIndex: 1000 * look, ClusterVersion: 3, CommandVersion: 3, UptimeMs: 100_000 + 1000*look,
		ClockUnixMs: now.UnixMilli(), DataBytes: 1 << 30, DbBytes: 1 << 20, QuotaBytes: 1 << 30,
		Work: &api.Work{
			Reads: 10 * look, Writes: 100 * look, Syncs: 100 * look, SyncUs: 150_000 * look,
			SyncTimes: []*api.CountUpTo{{UpToUs: 1600, Count: 90 * look}, {UpToUs: 6400, Count: 100 * look}, {UpToUs: 204_800, Count: 100 * look}},
		},
		Settings:     &api.Settings{ElectionTimeoutMs: 500, HeartbeatIntervalMs: 50, MaxRequestBytes: 3 << 19, MaxTxnOps: 128},
		Resources:    &api.Resources{DiskFreeBytes: 50 << 30, MemoryBytes: 1 << 30, MemoryLimitBytes: 4 << 30, Processors: 4, OpenFilesLimit: 65536},
		Certificates: []*api.CertificateExpiry{{Side: "peer", Certificate: now.Add(60 * 24 * time.Hour).Unix(), Authority: now.Add(600 * 24 * time.Hour).Unix()}},
	}
	if id == 2 {
		r.Role = api.Role_LEADER
	}
	for other := range uint64(3) {
		if other+1 != id {
			r.Peers = append(r.Peers, &api.Peer{NodeId: other + 1, Name: fmt.Sprint("n", other+1), Connected: true, RoundTripUs: 400})
		}
	}
	return r
}

func TestNothingIsWrongWithAHealthyCluster(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Diagnose(healthy()) {
		if f.Level != OK || f.Seen == "" || f.Why != "" || f.Do != "" {
			t.Errorf("%+v", f)
		}
		seen[f.Check] = true
	}
	for _, check := range []string{
		"answers", "leader", "voters", "learners", "connections", "alarms", "lag", "syncs", "requests", "space", "quota", "settings", "round trips",
		"versions", "clocks", "certificates", "names", "ports", "this disk's syncs", "this disk", "this machine", "backups",
	} {
		if !seen[check] {
			t.Errorf("%s is not among what was looked at", check)
		}
	}
}

// TestEachFindingIsProvoked by one thing that is wrong, and finds nothing else unless it follows.
func TestEachFindingIsProvoked(t *testing.T) {
	tests := []struct {
		name  string
		wrong func(*Facts)
		level Level
		check string
		of    string
		seen  string
		// also are checks that find something, too, since one thing brings the other.
		also string
	}{
		{"a server is down", down(2), Warning, "answers", "n3", "does not answer: refused", ""},
		{"all servers are down", func(f *Facts) { down(0, 1, 2)(f); f.Members = nil }, Problem, "answers", "", "no server answers", ""},
		{"the user is missing", func(f *Facts) {
			down(0, 1, 2)(f)
			for i := range f.Servers {
				f.Servers[i].Err = fmt.Errorf("status: %w", clerk.ErrUnauthenticated)
			}
			f.Members = nil
		}, Problem, "answers", "n1", "not authenticated", ""},
		{"two clusters", func(f *Facts) { f.Servers[2].Second.ClusterId = 8 }, Problem, "cluster", "n3", "another cluster than n1", ""},
		{"nobody leads", func(f *Facts) { f.Servers[1].Second.Role = api.Role_CANDIDATE }, Problem, "leader", "", "none leads of those that answer, 3 of 3", ""},
		{"a cluster that has not begun", unborn, Problem, "leader", "", "the cluster has not begun; it waits for n3", "answers"},
		{"a cluster that has not begun, and its founder is away", func(f *Facts) { unborn(f); down(0)(f) }, Problem, "leader", "", "the cluster has not begun; not seen from here: n3", "answers"},
		{"a leader alone", down(0, 2), Problem, "leader", "n2", "only 1 of 3 voters", "answers"},
		{"a leader alone, and the members are not known", func(f *Facts) { down(0, 2)(f); f.Members = nil }, Problem, "leader", "n2", "only 1 of 3 voters", "answers"},
		{"an election", func(f *Facts) { f.Servers[0].First.Term = 3 }, Warning, "leader", "n1", "from 3 to 4", ""},
		{"one voter", func(f *Facts) { alone(f) }, Warning, "voters", "", "there is one voter", ""},
		{"an even number", func(f *Facts) {
			f.Members = append(f.Members, clerk.Member{ID: 4, Name: "w", Voter: true, Witness: true, Started: true, Active: true})
		}, Warning, "voters", "", "4 voters", ""},
		{"a witness that is down", func(f *Facts) { f.Members[2].Witness, f.Members[2].Active, f.Servers = true, false, f.Servers[:2] }, Warning, "answers", "n3", "is a witness, and does not answer the leader", ""},
		{"one machine", func(f *Facts) { f.Members[0].PeerURLs = []string{"https://10.0.0.2:23801"} }, Note, "voters", "", "n1, n2 have one address", ""},
		{"a voter that has never started", func(f *Facts) { f.Members[0].Started = false }, Warning, "learners", "n1", "never started", ""},
		{"a place that nobody has taken", learner(clerk.Member{}), Warning, "learners", "n4", "no server has taken it", ""},
		{"a learner that is away", learner(clerk.Member{Started: true, Promote: true}), Warning, "learners", "n4", "does not answer the leader", ""},
		{"a learner on its way", learner(clerk.Member{Started: true, Promote: true, Active: true, BehindEntries: 9}), Note, "learners", "n4", "lacks 9 entries", ""},
		{"a learner for good", learner(clerk.Member{Started: true, Active: true}), Note, "learners", "n4", "never votes", ""},
		{"a server that waits", func(f *Facts) {
			f.Servers[0].Second.Role, f.Servers[0].Second.Waiting = api.Role_WAITING, "waiting for n9"
		}, Warning, "learners", "n1", "waiting for n9", ""},
		{"a member that has lost entries", func(f *Facts) { f.Servers[1].Second.Peers[0].Progress = api.Peer_LOST }, Problem, "members", "n1", "says n2", ""},
		{"a member that differs", func(f *Facts) { f.Servers[1].Second.Peers[1].Diverged = true }, Problem, "members", "n3", "differs from that of a majority", ""},
		{"a cut between two", func(f *Facts) { f.Servers[0].Second.Peers[1].Connected = false }, Warning, "connections", "n1", "no connection to n3", ""},
		{"a port that is closed", func(f *Facts) { f.Ports[1].Err = errors.New("timeout") }, Note, "ports", "n2", "10.0.0.2:23800", ""},
		{"an alarm", func(f *Facts) {
			f.Servers[2].Second.Alarms, f.Servers[2].Second.Alarm = []api.Alarm{api.Alarm_DAMAGED}, "2 files"
		}, Problem, "alarms", "n3", "damaged: 2 files", ""},
		{"an alarm that only people can read", func(f *Facts) { f.Servers[2].Second.Alarm = "odd" }, Problem, "alarms", "n3", "odd", ""},
		{"a disk that hangs", func(f *Facts) { f.Servers[0].Second.DiskWaitMs = 1200 }, Problem, "disks", "n1", "1.2s", ""},
		{"a server far behind", behind(20_000, 0), Warning, "lag", "n1", "20000 entries behind n2", ""},
		{"a server that falls back", behind(20_000, 15_000), Warning, "lag", "n1", "falls back: it was 15000", ""},
		{"a server that catches up", behind(20_000, 30_000), Note, "lag", "n1", "comes closer", ""},
		{"late syncs", func(f *Facts) { f.Servers[0].Second.Work.SyncTimes[1].Count = 190 }, Warning, "syncs", "n1", "up to 204.8ms, while doctor looked", ""},
		{"slow syncs", func(f *Facts) { f.Servers[0].Second.Work.SyncUs = 2_000_000 }, Note, "syncs", "n1", "18.5ms in the mean", ""},
		{"late syncs before", func(f *Facts) {
			f.Servers[0].First.Work.SyncTimes[1].Count, f.Servers[0].Second.Work = 50, f.Servers[0].First.Work
		}, Warning, "syncs", "n1", "since it was started", ""},
		{"requests that fail", func(f *Facts) { f.Servers[1].Second.Work.Failed = 5 }, Warning, "requests", "n2", "5 requests failed while doctor looked, and 110 were answered", ""},
		{"a server that restarts", func(f *Facts) { f.Servers[1].Second.UptimeMs = 5 }, Warning, "restarts", "n2", "started anew", ""},
		{"a full disk", func(f *Facts) { f.Servers[1].Second.Resources.DiskFreeBytes = 5 << 20 }, Problem, "space", "n2", "5.0 MiB are free", ""},
		{"a disk that is almost full", func(f *Facts) { f.Servers[1].Second.Resources.DiskFreeBytes = 500 << 20 }, Warning, "space", "n2", "500 MiB are free", ""},
		{"less room than it takes", func(f *Facts) { f.Servers[1].Second.DataBytes = 900 << 30 }, Warning, "space", "n2", "its data takes 900 GiB", ""},
		{"memory", func(f *Facts) { f.Servers[1].Second.Resources.MemoryBytes = 15 << 28 }, Warning, "memory", "n2", "3.8 GiB of 4.0 GiB", ""},
		{"few open files", func(f *Facts) { f.Servers[1].Second.Resources.OpenFilesLimit = 256 }, Warning, "open files", "n2", "256 open files", ""},
		{"a quota", func(f *Facts) { f.Servers[1].Second.DbBytes = 900 << 20 }, Warning, "quota", "", "900 MiB of 1.0 GiB", ""},
		{"an older version", func(f *Facts) {
			f.Servers[2].Second.Settings, f.Servers[2].Second.Resources, f.Servers[2].Second.Work, f.Servers[2].Second.ClockUnixMs = nil, nil, nil, 0
		}, Note, "settings", "n3", "tells neither", ""},
		{"unequal timeouts", func(f *Facts) { f.Servers[2].Second.Settings.ElectionTimeoutMs = 700 }, Warning, "settings", "", "--election-timeout differs: 500 on n1, n2; 700 on n3", ""},
		{"unequal quotas", func(f *Facts) { f.Servers[0].Second.Settings.QuotaBytes = 1 << 30 }, Warning, "settings", "", "--quota or --quota-backend-bytes differs: 1073741824 on n1; 0 on n2, n3", ""},
		{"a long way", func(f *Facts) { f.Servers[1].Second.Peers[0].RoundTripUs = 120_000 }, Warning, "round trips", "n2", "one to n1 takes 120ms", ""},
		{"unequal versions", func(f *Facts) { f.Servers[2].Second.ServerVersion = "v0.2.0" }, Note, "versions", "", "v0.1.0 on n1, n2; v0.2.0 on n3", ""},
		{"unequal commands", func(f *Facts) { f.Servers[2].Second.CommandVersion = 4 }, Note, "versions", "", "3 on n1, n2; 4 on n3", ""},
		{"a clock", func(f *Facts) { f.Servers[2].Second.ClockUnixMs += 90_000 }, Warning, "clocks", "", "that of n3 is 1m30s ahead of that of n1", ""},
		{"the clock of this machine", func(f *Facts) {
			for i := range f.Servers {
				f.Servers[i].Second.ClockUnixMs -= 60_000
			}
		}, Note, "clocks", "", "this machine is 1m0s off", ""},
		{"a certificate that has expired", expires(-time.Hour), Problem, "certificates", "n1", "for the peer port has expired", ""},
		{"a certificate that expires soon", expires(5 * 24 * time.Hour), Warning, "certificates", "n1", "expires in 5 days", ""},
		{"a certificate that expires later", expires(20 * 24 * time.Hour), Note, "certificates", "n1", "expires in 20 days", ""},
		{"an authority that expires", func(f *Facts) {
			f.Servers[0].Second.Certificates[0].Authority = now.Add(50 * time.Hour).Unix()
		}, Warning, "certificates", "n1", "an authority that it trusts at the peer port expires in 2 days", ""},
		{"files that do not fit together", func(f *Facts) { f.Servers[0].Second.Certificates[0].Stale = true }, Warning, "certificates", "n1", "not the ones in use", ""},
		{"a certificate of a server that tells nothing", func(f *Facts) {
			f.Servers[0].Second.Certificates, f.Certificates[0].Expires = nil, now.Add(time.Hour)
		}, Warning, "certificates", "https://10.0.0.1:23790", "the certificate that it shows expires in", ""},
		{"a certificate of another host", func(f *Facts) {
			f.Certificates[1].Named, f.Certificates[1].Names = errors.New("no"), []string{"db.example"}
		}, Problem, "names", "https://10.0.0.2:23790", "is for [db.example]", ""},
		{"no TLS", func(f *Facts) { f.Certificates[1].Err = errors.New("no TLS there") }, Warning, "names", "https://10.0.0.2:23790", "no TLS there", ""},
		{"a disk that stalls", func(f *Facts) { f.Machine.Syncs[98], f.Machine.Syncs[99] = 200*time.Millisecond, time.Second }, Warning, "this disk's syncs", "/data", "99 of 100 up to 200ms", ""},
		{"a slow disk", func(f *Facts) {
			for i := range f.Machine.Syncs {
				f.Machine.Syncs[i] = 20 * time.Millisecond
			}
		}, Note, "this disk's syncs", "/data", "half of 100 syncs took up to 20ms", ""},
		{"a directory that cannot be written", func(f *Facts) { f.Machine.ProbeErr = errors.New("denied") }, Problem, "this disk's syncs", "/data", "denied", ""},
		{"no room", func(f *Facts) { f.Machine.Free = 1 << 20 }, Problem, "this disk", "/data", "1.0 MiB are free", ""},
		{"a disk in memory", func(f *Facts) { f.Machine.FileSystem = "tmpfs" }, Problem, "file system", "/data", "tmpfs", ""},
		{"a disk over the network", func(f *Facts) { f.Machine.FileSystem = "nfs" }, Warning, "file system", "/data", "nfs", ""},
		{"a shell with few open files", func(f *Facts) { f.Machine.OpenFiles = 256 }, Warning, "this machine", "", "256 open files", ""},
		{"a control group", func(f *Facts) { f.Machine.MemoryLimit = 1 << 30 }, Note, "this machine", "", "1.0 GiB of the 8.0 GiB", ""},
		{"one processor", func(f *Facts) { f.Machine.Processors = 1 }, Note, "this machine", "", "one processor", ""},
		{"no backup", func(f *Facts) { f.Backups.Newest = time.Time{} }, Problem, "backups", "/backup", "there is none", ""},
		{"an old backup", func(f *Facts) { f.Backups.Newest = now.Add(-72 * time.Hour) }, Warning, "backups", "/backup", "3 days old", ""},
		{"a backup of another clock", func(f *Facts) { f.Backups.Newest = now.Add(3 * time.Hour) }, Warning, "backups", "/backup", "3h0m from now", "clocks"},
		{"backups that cannot be read", func(f *Facts) { f.Backups.Err, f.Backups.Newest = errors.New("torn"), time.Time{} }, Problem, "backups", "/backup", "torn", ""},
		{"a backup that cannot be read among others", func(f *Facts) { f.Backups.Err = errors.New("torn") }, Problem, "backups", "/backup", "torn", ""},
		{"how old the others are", func(f *Facts) { f.Backups.Err = errors.New("torn") }, Note, "backups", "/backup", "that can be read is 5h0m old", ""},
		{"that the others are old, too", func(f *Facts) { f.Backups.Err, f.Backups.Newest = errors.New("torn"), now.Add(-72*time.Hour) }, Warning, "backups", "/backup", "that can be read is 3 days old", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.wrong(f)
			found := false
			for _, finding := range Diagnose(f) {
				if finding.Level == OK {
					if finding.Check == tt.check && tt.level != OK && !strings.HasPrefix(tt.check, "this disk") {
						t.Errorf("it is fine, too: %+v", finding)
					}
					continue
				}
				if finding.Why == "" || finding.Do == "" {
					t.Errorf("neither reason nor remedy: %+v", finding)
				}
				switch {
				case finding.Level == tt.level && finding.Check == tt.check && finding.Of == tt.of && strings.Contains(finding.Seen, tt.seen):
					found = true
				case finding.Check != tt.check && finding.Check != tt.also:
					t.Errorf("also %+v", finding)
				}
			}
			if !found {
				t.Errorf("not found among %+v", Diagnose(f))
			}
		})
	}
}

// TestNothingIsAdvisedThatIsRefused: a cluster with a witness has at most four voters.
func TestNothingIsAdvisedThatIsRefused(t *testing.T) {
	const aWitness, ordinary = "be it a witness", `add one ("balsa serve --join"), or remove one`
	voter := clerk.Member{ID: 4, Name: "n4", Voter: true, Started: true, Active: true}
	witness := voter
	witness.Witness = true
	tests := []struct {
		name    string
		members func([]clerk.Member) []clerk.Member
		do      string
	}{
		{"two", func(m []clerk.Member) []clerk.Member { return m[:2] }, aWitness},
		{"four", func(m []clerk.Member) []clerk.Member { return append(m, voter) }, ordinary},
		{"four with a witness", func(m []clerk.Member) []clerk.Member { return append(m, witness) }, "remove one: "},
		{"two, and two that are to vote", func(m []clerk.Member) []clerk.Member {
			return append(m[:2], clerk.Member{ID: 4, Name: "n4", Promote: true, Witness: true}, clerk.Member{ID: 5, Name: "n5", Promote: true})
		}, "remove one: "},
		{"two, of which one is being replaced", func(m []clerk.Member) []clerk.Member {
			return append(m[:2], clerk.Member{ID: 4, Name: "n1", Promote: true, Replaces: 1})
		}, aWitness},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			f.Members = tt.members(f.Members)
			all := Diagnose(f)
			i := slices.IndexFunc(all, func(f Finding) bool { return f.Check == "voters" && f.Level == Warning })
			if i < 0 || !strings.Contains(all[i].Do, tt.do) {
				t.Errorf("%+v", all)
			}
		})
	}
}

func down(which ...int) func(*Facts) {
	return func(f *Facts) {
		for _, i := range which {
			f.Servers[i].Second, f.Servers[i].Err = nil, errors.New("refused")
		}
	}
}

// unborn is a new cluster of which n3 was never started.
func unborn(f *Facts) {
	down(2)(f)
	f.Members = nil
	const rule = "new data directory: the cluster begins when all members have been reached once"
	for i, says := range []string{"; waiting for n3", " by n1; not seen from here: n3"} {
		s := f.Servers[i].Second
		f.Servers[i].First, f.Servers[i].Second = nil, &api.StatusReply{
			Name: s.Name, NodeId: s.NodeId, Role: api.Role_WAITING, Waiting: rule + says, Settings: s.Settings, Resources: s.Resources,
		}
	}
}

func alone(f *Facts) {
	f.Servers, f.Members = f.Servers[1:2], f.Members[1:2]
	f.Servers[0].Second.Peers = nil
}

func learner(m clerk.Member) func(*Facts) {
	m.ID, m.Name = 4, "n4"
	return func(f *Facts) { f.Members = append(f.Members, m) }
}

// behind makes n1 lag by so many entries, and by so many before; 0: that is not known.
func behind(entries, before uint64) func(*Facts) {
	return func(f *Facts) {
		f.Servers[1].First.CommitIndex, f.Servers[1].Second.CommitIndex = 100_000, 101_000
		f.Servers[0].First.AppliedIndex, f.Servers[0].Second.AppliedIndex = 100_000-before, 101_000-entries
		f.Servers[2].Second.AppliedIndex = 101_000
		f.Servers[1].Second.AppliedIndex = 101_000
		if before == 0 {
			f.Servers[0].First = nil
		}
	}
}

func expires(in time.Duration) func(*Facts) {
	return func(f *Facts) { f.Servers[0].Second.Certificates[0].Certificate = now.Add(in).Unix() }
}

func TestTheWorstComesFirst(t *testing.T) {
	f := healthy()
	down(2)(f)
	f.Machine.Processors = 1
	f.Backups.Newest = time.Time{}
	all := Diagnose(f)
	if !slices.IsSortedFunc(all, func(a, b Finding) int { return int(b.Level) - int(a.Level) }) || all[0].Level != Problem {
		t.Errorf("%+v", all)
	}
	text, err := json.Marshal(all[0])
	var again Finding
	if err != nil || !strings.Contains(string(text), `"level":"problem"`) || json.Unmarshal(text, &again) != nil || again != all[0] {
		t.Errorf("%s %v", text, err)
	}
}

// Of a cluster that does not answer nothing is said to be well.
func TestNothingIsWellWhereNobodyAnswers(t *testing.T) {
	f := healthy()
	down(0, 1, 2)(f)
	f.Members, f.Certificates, f.Ports, f.Machine, f.Backups = nil, nil, nil, nil, nil
	for _, finding := range Diagnose(f) {
		if finding.Level == OK {
			t.Errorf("%+v", finding)
		}
	}
}

// What was not measured is not spoken of.
func TestWithoutFactsNothingIsSaid(t *testing.T) {
	if all := Diagnose(&Facts{Now: now}); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	f := healthy()
	f.Certificates, f.Ports, f.Machine, f.Backups = nil, nil, nil, nil
	for i := range f.Servers {
		f.Servers[i].First = nil
		f.Servers[i].Second = &api.StatusReply{NodeId: uint64(i + 1), ClusterId: 7, LeaderId: 2, Role: f.Servers[i].Second.Role, Term: 4}
	}
	for _, finding := range Diagnose(f) {
		if finding.Level > Note || slices.Contains([]string{"syncs", "clocks", "certificates", "names", "ports", "backups", "space"}, finding.Check) {
			t.Errorf("%+v", finding)
		}
	}
}
