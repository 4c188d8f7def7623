package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"balsa.example/api"
)

// setting is one that members should have alike.
type setting struct {
	flag string
	of   func(*api.Settings) string
	why  string
}

var settings = []setting{
	{"--election-timeout", func(s *api.Settings) string { return fmt.Sprint(s.ElectionTimeoutMs) }, "the member with the shortest one disturbs the others by elections"},
	{"--heartbeat-interval", func(s *api.Settings) string { return fmt.Sprint(s.HeartbeatIntervalMs) }, "it depends on who leads how soon a loss is noticed"},
	{"--max-request-bytes", func(s *api.Settings) string { return fmt.Sprint(s.MaxRequestBytes) }, "it depends on who answers whether a value is too large"},
	{"--max-txn-ops", func(s *api.Settings) string { return fmt.Sprint(s.MaxTxnOps) }, "it depends on who answers whether a transaction is too large"},
	{"--history-age", func(s *api.Settings) string { return (time.Duration(s.HistoryAgeMs) * time.Millisecond).String() }, "it depends on who leads how much history is kept"},
	{"--history-revisions", func(s *api.Settings) string { return fmt.Sprint(s.HistoryRevisions) }, "it depends on who leads how much history is kept"},
	{"--quota or --quota-backend-bytes", func(s *api.Settings) string { return fmt.Sprint(s.QuotaBytes) }, "it depends on who leads what quota a cluster gets that has none"},
	{"--lease-reads", func(s *api.Settings) string { return fmt.Sprint(s.LeaseReads) }, "it depends on who leads how fast lease reads are"},
}

// settings compares those of the members.
func (d *diagnosis) settings() {
	const check = "settings"
	var old []string
	known := 0
	for _, s := range d.answering() {
		if s.Second.Settings == nil {
			old = append(old, s.name())
		} else {
			known++
		}
	}
	if len(old) > 0 {
		d.say(Note, check, strings.Join(old, ", "), "tells neither settings nor resources, since its version does not", "they are not compared, and rates of it are not known", "upgrade it")
	}
	for _, one := range settings {
		if said, differ := d.differing(func(s *api.StatusReply) (string, bool) {
			if s.Settings == nil {
				return "", false
			}
			return one.of(s.Settings), true
		}); differ {
			d.say(Warning, check, "", one.flag+" differs: "+said, one.why, "give all members the same, and restart them one after the other")
		}
	}
	if known > 1 {
		d.fine(check, fmt.Sprintf("those of %d servers are alike", known))
	}
}

// differing tells whether servers say different things, and who says what.
func (d *diagnosis) differing(of func(*api.StatusReply) (string, bool)) (said string, differ bool) {
	by := map[string][]string{}
	var values []string
	for _, s := range d.answering() {
		if value, ok := of(s.Second); ok {
			if by[value] == nil {
				values = append(values, value)
			}
			by[value] = append(by[value], s.name())
		}
	}
	var parts []string
	for _, value := range values {
		parts = append(parts, value+" on "+strings.Join(by[value], ", "))
	}
	return strings.Join(parts, "; "), len(values) > 1
}

// timeouts compares the round trips between members with the election timeout.
func (d *diagnosis) timeouts() {
	const check = "round trips"
	longest, known := time.Duration(0), false
	for _, s := range d.taking() {
		timeout := time.Duration(s.Second.GetSettings().GetElectionTimeoutMs()) * time.Millisecond
		for _, p := range s.Second.Peers {
			trip := time.Duration(p.RoundTripUs) * time.Microsecond
			if trip == 0 || !p.Connected {
				continue
			}
			known, longest = true, max(longest, trip)
			if timeout > 0 && 5*trip > timeout {
				d.say(Warning, check, s.name(), fmt.Sprintf("one to %s takes %s, and --election-timeout is %s", p.Name, short(trip), timeout),
					"a short disturbance of the network will cost the leader its office", fmt.Sprintf("set --election-timeout to %d or more on all members: ten round trips", (10*trip).Milliseconds()))
			}
		}
	}
	if known {
		d.fine(check, "the longest between members takes "+short(longest))
	}
}

// versions compares those of the programs, and of the commands that they know.
func (d *diagnosis) versions() {
	const check = "versions"
	said, differ := d.differing(func(s *api.StatusReply) (string, bool) { return s.ServerVersion, true })
	if differ {
		d.say(Note, check, "", "members run different versions: "+said, "that is how an upgrade looks in its midst, and no state to stay in", "finish the upgrade: see docs/upgrade.md")
	}
	if said, differ := d.differing(func(s *api.StatusReply) (string, bool) {
		return fmt.Sprint(s.CommandVersion), s.Role != api.Role_WAITING && s.CommandVersion > 0
	}); differ {
		d.say(Note, check, "", "members know commands of different versions: "+said, "the cluster uses what all of them know", "finish the upgrade: see docs/upgrade.md")
	}
	if len(d.answering()) > 0 {
		d.fine(check, "all run "+said)
	}
}

const whyClocks = "clocks decide when certificates and tokens are valid, and which revision a restore to a time means. " +
	"Leases, elections and the order of writes do not depend on them"

// clocks compares those of the members, as closely as the round trips from here allow.
func (d *diagnosis) clocks() {
	const check = "clocks"
	const much = time.Second
	var least, most *Server
	var worst time.Duration // of the round trips
	for _, s := range d.answering() {
		if s.Second.ClockUnixMs == 0 {
			continue
		}
		worst = max(worst, s.RoundTrip)
		if least == nil || s.offset() < least.offset() {
			least = s
		}
		if most == nil || s.offset() > most.offset() {
			most = s
		}
	}
	if least == nil {
		return
	}
	// An answer was made at some time of its round trip.
	difference, unsure := most.offset()-least.offset(), (most.RoundTrip+least.RoundTrip)/2+time.Millisecond
	if difference-unsure > much {
		d.say(Warning, check, "", fmt.Sprintf("that of %s is %s ahead of that of %s (give or take %s)", most.name(), short(difference), least.name(), short(unsure)),
			whyClocks, "run chrony or another NTP client on all machines")
	}
	if own := max(most.offset(), -least.offset()); own-worst/2-time.Millisecond > much && !slices.ContainsFunc(d.findings, func(f Finding) bool { return f.Check == check }) {
		d.say(Note, check, "", fmt.Sprintf("that of this machine is %s off those of the members", short(own)), whyClocks, "run chrony or another NTP client here")
	}
	d.fine(check, fmt.Sprintf("those of the members differ by %s at most, as far as round trips tell", short(max(difference, 0)+unsure)))
}

// offset is how far a server's clock is ahead of that of this machine.
func (s *Server) offset() time.Duration {
	return time.UnixMilli(s.Second.ClockUnixMs).Sub(s.Asked)
}
