package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
)

// Level is how bad something is.
type Level int

// The levels, from the best to the worst.
const (
	OK      Level = iota // as it should be
	Note                 // worth knowing
	Warning              // will be a problem, or makes one worse
	Problem              // something does not work, or data is in danger
)

var levelNames = []string{"ok", "note", "warning", "problem"}

// String is the name of a level.
func (l Level) String() string { return levelNames[l] }

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText(text []byte) error {
	i := slices.Index(levelNames, string(text))
	if i < 0 {
		return fmt.Errorf("%q is no level", text)
	}
	*l = Level(i)
	return nil
}

// Finding is one thing that was looked at.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"`        // what was looked at, always in the same word
	Of    string `json:"of,omitempty"` // the member, endpoint or directory
	Seen  string `json:"seen"`
	Why   string `json:"why,omitempty"` // why it matters
	Do    string `json:"do,omitempty"`  // what to do
}

// Facts are what was measured.
type Facts struct {
	Now     time.Time // of this machine's clock
	Servers []Server  // none: no cluster was looked at
	// Members are as the leader or, if FromLeader is false, one server knows them; none: not known.
	Members    []clerk.Member
	FromLeader bool

	Certificates []Certificate // that endpoints have shown
	Ports        []Port
	Machine      *Machine // nil: no directory was looked at
	Backups      *Backups // nil: no directory of backups was looked at
}

// Server is one server, asked twice.
type Server struct {
	Endpoint string
	Name     string // empty: not known
	Err      error  // why it did not answer the second time
	// First and Second are its answers; nil if there was none. Second is nil where Err is not.
	First, Second *api.StatusReply
	// Asked is this machine's clock in the middle of the second call, and RoundTrip how long that took.
	Asked     time.Time
	RoundTrip time.Duration
}

// Port is an address that a member is said to have.
type Port struct {
	Of, Address string
	Err         error // why nobody can connect to it from here
}

// Backups is what a directory of backups has.
type Backups struct {
	Dir    string
	Err    error     // why it cannot be read, or not all of it
	Newest time.Time // zero: there is none
}

// diagnosis is the findings so far.
type diagnosis struct {
	*Facts
	findings []Finding
}

// Diagnose says what is wrong, the worst first, and what is as it should be.
func Diagnose(f *Facts) []Finding {
	d := &diagnosis{Facts: f}
	if len(f.Servers) > 0 {
		d.answers()
	}
	if len(d.answering()) > 0 {
		for _, check := range []func(){
			d.oneCluster, d.leader, d.voters, d.joining, d.connections,
			d.alarms, d.hungDisks, d.lag, d.syncs, d.failures, d.restarts, d.space, d.memory, d.openFiles, d.quota,
			d.settings, d.timeouts, d.versions, d.clocks,
		} {
			check()
		}
	}
	for _, check := range []func(){d.expiries, d.names, d.ports} {
		check()
	}
	d.machine()
	d.backups()
	slices.SortStableFunc(d.findings, func(a, b Finding) int { return int(b.Level) - int(a.Level) })
	return d.findings
}

// say adds a finding.
func (d *diagnosis) say(level Level, check, of, seen, why, do string) {
	d.findings = append(d.findings, Finding{level, check, of, seen, why, do})
}

// fine adds that all is well, unless something else was said of the same check.
func (d *diagnosis) fine(check, seen string) {
	if !slices.ContainsFunc(d.findings, func(f Finding) bool { return f.Check == check }) {
		d.say(OK, check, "", seen, "", "")
	}
}

// answering are the servers that have answered.
func (d *diagnosis) answering() (all []*Server) {
	for i := range d.Servers {
		if d.Servers[i].Second != nil {
			all = append(all, &d.Servers[i])
		}
	}
	return all
}

// taking are the servers that have answered and take part in the cluster.
func (d *diagnosis) taking() (all []*Server) {
	for _, s := range d.answering() {
		if s.Second.Role != api.Role_WAITING {
			all = append(all, s)
		}
	}
	return all
}

// name is how a server is called.
func (s *Server) name() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Endpoint
}

// backups looks at whether all of them can be read, and how old the newest of those is.
func (d *diagnosis) backups() {
	const check, why, do = "backups", "what is deleted or lost by mistake on all members is in a backup only", `run "balsa backup DIR" from a timer, at least once a day`
	b, newest, fine, whyFine, doFine := d.Backups, "the newest is ", OK, "", ""
	if b == nil {
		return
	}
	if b.Err != nil {
		const look = `look with "balsa backup verify DIR"`
		d.say(Problem, check, b.Dir, "cannot be read, or not all of it: "+b.Err.Error(), why, look)
		if b.Newest.IsZero() { // how old they are nobody knows
			return
		}
		newest, fine, whyFine, doFine = "the newest that can be read is ", Note, "what it has can be restored", look
	}
	switch {
	case b.Newest.IsZero():
		d.say(Problem, check, b.Dir, "there is none", why, do)
	case b.Newest.Sub(d.Now) > time.Hour:
		d.say(Warning, check, b.Dir, newest+"of a time "+ago(b.Newest.Sub(d.Now))+" from now", "how old it is cannot be told, nor what a restore to a time brings back",
			"compare the clocks of the servers with that of this machine")
	case d.Now.Sub(b.Newest) > 24*time.Hour:
		d.say(Warning, check, b.Dir, newest+ago(d.Now.Sub(b.Newest))+" old", why, do)
	default:
		d.say(fine, check, b.Dir, newest+ago(d.Now.Sub(b.Newest))+" old", whyFine, doFine)
	}
}

// ago is a time for people: 3 days, 5h2m, 40s.
func ago(d time.Duration) string {
	if days := int(d / (24 * time.Hour)); days >= 2 {
		return fmt.Sprintf("%d days", days)
	}
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return short(d)
}

// short is a time with about three digits.
func short(d time.Duration) string {
	for _, unit := range []time.Duration{time.Minute, time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit || d <= -unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

// size is a number of bytes for people.
func size(n uint64) string {
	x, unit := float64(n), 0
	for x >= 1000 && unit < 4 {
		x, unit = x/1024, unit+1
	}
	if unit == 0 || x >= 100 {
		return fmt.Sprintf("%.0f %s", x, []string{"bytes", "KiB", "MiB", "GiB", "TiB"}[unit])
	}
	return fmt.Sprintf("%.1f %s", x, []string{"bytes", "KiB", "MiB", "GiB", "TiB"}[unit])
}
