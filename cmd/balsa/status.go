package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/terminal"
)

// nodeStatus is the status of one server in the output.
type nodeStatus struct {
	Name          string `json:"name,omitempty"`
	ID            string `json:"id,omitempty"`
	Cluster       string `json:"cluster,omitempty"`
	Endpoint      string `json:"endpoint"`
	Error         string `json:"error,omitempty"` // why it did not answer
	Denied        bool   `json:"-"`               // it did not because of the user
	Role          string `json:"role,omitempty"`
	Witness       bool   `json:"witness,omitempty"`
	Waiting       string `json:"waiting,omitempty"` // for what, if it does not take part yet
	Term          uint64 `json:"term"`
	Leader        string `json:"leader,omitempty"`
	Commit        uint64 `json:"commit"`
	Applied       uint64 `json:"applied"`
	LogBytes      uint64 `json:"log_bytes"`
	SnapshotIndex uint64 `json:"snapshot_index"`
	SnapshotBytes uint64 `json:"snapshot_bytes"`
	Keys          uint64 `json:"keys"`
	Revision      uint64 `json:"revision"`
	Hash          string `json:"hash,omitempty"`
	HashIndex     uint64 `json:"hash_index,omitempty"`
	UptimeMillis  uint64 `json:"uptime_ms"`
	DiskWait      uint64 `json:"disk_wait_ms"` // of the write or sync under way, so far
	Alarm         string `json:"alarm,omitempty"`
	Version       string `json:"version,omitempty"`
	// ClusterVersion is the version of commands that the cluster uses, CommandVersion the newest that the server knows.
	ClusterVersion uint64   `json:"cluster_version,omitempty"`
	CommandVersion uint64   `json:"command_version,omitempty"`
	Reaches        []string `json:"reaches"`
	Misses         []string `json:"misses"`
	Lost           []string `json:"lost"`                // members that have lost entries which they had acknowledged to this leader
	Diverged       []string `json:"diverged"`            // members whose state differs from that of a majority
	Learners       []string `json:"learners"`            // the other members that do not vote
	Witnesses      []string `json:"witnesses,omitempty"` // the other members that only vote

	DataBytes   uint64    `json:"data_bytes"` // on its disk
	DBBytes     uint64    `json:"db_bytes"`   // what the quota limits
	QuotaBytes  uint64    `json:"quota_bytes,omitempty"`
	Watchers    uint64    `json:"watchers"`
	DiskFree    uint64    `json:"disk_free_bytes,omitempty"`
	Memory      uint64    `json:"memory_bytes,omitempty"`
	MemoryLimit uint64    `json:"memory_limit_bytes,omitempty"`
	Work        *workJSON `json:"work,omitempty"`
	Rates       *rates    `json:"rates,omitempty"` // with --watch, from the second look on
}

func (p *program) status() *cobra.Command {
	var n connection
	var out output
	var watch bool
	var interval time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the servers of a cluster",
		Long: `Show what each server says of itself. Members that the servers know of are asked too,
wherever --endpoints leads. REACHES are the members that a server has a connection to.
A member is "lost" or "diverged" if others know that it has stopped for good.

With --watch it goes on until Ctrl-C: each --interval all servers are asked again, and the
table has what they do per second. On a terminal it is drawn in place, with the columns that
fit; elsewhere lines are appended. With -o json each look is an object on a line. SYNC is how
long a sync of the log took in the mean, and LAG how many committed entries a server has yet
to execute. A server that does not answer within the interval is shown as unreachable.
` + connectionHelp + statusExitHelp,
		Example: `  balsa status
  balsa status -o json --endpoints 10.0.0.1:23790
  balsa status --watch --interval 5s`,
		Args: noArgs,
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show them again and again, with what they do per second")
	c.Flags().DurationVar(&interval, "interval", defaultWatchInterval, "with --watch: how often")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if interval < leastWatchInterval {
			return usageError("--interval is %s; it must be at least %s", interval, leastWatchInterval)
		}
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		s := newSurveyor(ck, &n)
		if watch {
			cancel() // each look has a time of its own
			resized, stop := terminal.Resized()
			defer stop()
			w := statusWatch{
				look: s.look, verdict: n.verdict, interval: interval, json: out.isJSON(),
				out: p.stdout, terminal: p.terminal(p.result), resized: resized,
			}
			return w.run(c.Context())
		}
		nodes := s.look(ctx)
		// What of this cannot be written is told in the end, if the cluster is well.
		if out.isJSON() {
			_ = writeJSON(p.stdout, struct {
				Nodes []nodeStatus `json:"nodes"`
			}{nodes})
		} else {
			_ = writeTable(p.stdout, nodes)
		}
		return n.verdict(nodes)
	}
	return c
}

const statusExitHelp = `Exit codes:
  0  a leader answers, and with it a majority of the members that follow it; with --watch:
     Ctrl-C has ended it
  1  any other error; the endpoints lead to more than one cluster
  2  wrong usage
  6  there is no leader, or no majority that follows it answers
  7  the result could not be printed: the disk is full, or the reader has ended
  14 authentication is on, and there is no --user, or its password is wrong`

// verdict is nil if the cluster serves, as far as the answers tell. A leader alone does not
// prove it: one that was cut off notices late.
func (n *connection) verdict(nodes []nodeStatus) error {
	var answered []nodeStatus
	for _, node := range nodes {
		if node.Error != "" {
			continue
		}
		answered = append(answered, node)
		if node.Cluster != answered[0].Cluster {
			return fmt.Errorf("the servers are of more than one cluster: %s of %s, %s of %s",
				answered[0].Name, answered[0].Cluster, node.Name, node.Cluster)
		}
	}
	leader := leaderOf(answered)
	switch {
	case len(answered) == 0:
		return n.silence(nodes)
	case leader == nil:
		return withCode(exitUnavailable, "no server that answers leads: nothing is written, and only local reads are answered")
	}
	follow := 0
	for _, node := range answered {
		if node.Term == leader.Term && node.Leader == leader.Name && !slices.Contains(leader.Learners, node.Name) {
			follow++
		}
	}
	for _, name := range leader.Witnesses { // clients are not told where they are: the leader's connection has to do
		if slices.Contains(leader.Reaches, name) && !slices.Contains(leader.Learners, name) && !slices.ContainsFunc(answered, func(n nodeStatus) bool { return n.Name == name }) {
			follow++
		}
	}
	if members := 1 + len(leader.Reaches) + len(leader.Misses) - len(leader.Learners); 2*follow <= members {
		return withCode(exitUnavailable, "%s leads, but only %d of %d members answer and follow it", leader.Name, follow, members)
	}
	return nil
}

// leaderOf is the one of the highest term: a leader that was cut off notices late. It is nil if none leads.
func leaderOf(nodes []nodeStatus) (leader *nodeStatus) {
	for i, n := range nodes {
		if n.Role == "leader" && (leader == nil || n.Term > leader.Term) {
			leader = &nodes[i]
		}
	}
	return leader
}

// silence is the error where no server has answered.
func (n *connection) silence(nodes []nodeStatus) error {
	if i := slices.IndexFunc(nodes, func(n nodeStatus) bool { return n.Denied }); i >= 0 {
		return withCode(exitDenied, "%s; see --user", nodes[i].Error)
	}
	why := ""
	if i := slices.IndexFunc(nodes, func(n nodeStatus) bool { return n.Error != noAddress }); i >= 0 {
		why = " (" + nodes[i].Error + ")"
	}
	return withCode(exitUnavailable, "no server answers at %s%s", strings.Join(n.endpoints, ","), why)
}

// directory holds the names of members, by id and by client address.
type directory struct {
	byID      map[uint64]string
	byAddress map[string]string
}

func namesIn(answers []clerk.ServerStatus) directory {
	d := directory{make(map[uint64]string), make(map[string]string)}
	for _, a := range answers {
		if a.Status == nil {
			continue
		}
		d.byID[a.Status.NodeId] = a.Status.Name
		for _, peer := range a.Status.Peers {
			d.byID[peer.NodeId] = peer.Name
			for _, u := range peer.ClientUrls {
				d.byAddress[hostPort(u)] = peer.Name
			}
		}
	}
	return d
}

func hostPort(endpoint string) string {
	if _, rest, ok := strings.Cut(endpoint, "://"); ok {
		endpoint = rest
	}
	return strings.TrimSuffix(endpoint, "/")
}

func describe(a clerk.ServerStatus, names directory) nodeStatus {
	endpoint := hostPort(a.Endpoint)
	if a.Err != nil {
		return nodeStatus{Name: names.byAddress[endpoint], Endpoint: endpoint, Error: oneLine(a.Err), Denied: clerk.Denied(a.Err)}
	}
	s := a.Status
	n := nodeStatus{
		Name: s.Name, ID: fmt.Sprintf("%016x", s.NodeId), Cluster: fmt.Sprintf("%016x", s.ClusterId), Endpoint: endpoint,
		Role: strings.ToLower(s.Role.String()), Witness: s.Witness, Waiting: s.Waiting, Term: s.Term, Leader: names.byID[s.LeaderId],
		Commit: s.CommitIndex, Applied: s.AppliedIndex,
		LogBytes: s.LogBytes, SnapshotIndex: s.SnapshotIndex, SnapshotBytes: s.SnapshotBytes,
		Keys: s.Keys, Revision: s.Revision, HashIndex: s.StateHashIndex,
		UptimeMillis: s.UptimeMs, DiskWait: s.DiskWaitMs, Alarm: s.Alarm, Version: s.ServerVersion,
		ClusterVersion: s.ClusterVersion, CommandVersion: s.CommandVersion,
		Reaches: []string{}, Misses: []string{}, Lost: []string{}, Diverged: []string{}, Learners: []string{},
	}
	n.DataBytes, n.DBBytes, n.QuotaBytes, n.Watchers = s.DataBytes, s.DbBytes, s.QuotaBytes, s.Watchers
	n.DiskFree, n.Memory, n.MemoryLimit = s.Resources.GetDiskFreeBytes(), s.Resources.GetMemoryBytes(), s.Resources.GetMemoryLimitBytes()
	n.Work = workOf(s.Work)
	if s.StateHash != 0 {
		n.Hash = fmt.Sprintf("%016x", s.StateHash)
	}
	for _, peer := range s.Peers {
		if peer.Connected {
			n.Reaches = append(n.Reaches, peer.Name)
		} else {
			n.Misses = append(n.Misses, peer.Name)
		}
		if peer.Learner {
			n.Learners = append(n.Learners, peer.Name)
		}
		if peer.Witness {
			n.Witnesses = append(n.Witnesses, peer.Name)
		}
		if peer.Progress == api.Peer_LOST {
			n.Lost = append(n.Lost, peer.Name)
		}
		if peer.Diverged {
			n.Diverged = append(n.Diverged, peer.Name)
		}
	}
	for _, names := range [][]string{n.Reaches, n.Misses, n.Lost, n.Diverged, n.Learners, n.Witnesses} {
		slices.Sort(names)
	}
	return n
}

// role is what the tables call the role.
func (n *nodeStatus) role() string {
	switch {
	case n.Witness && n.Role == "follower":
		return "witness"
	case n.Denied:
		return "denied"
	case n.Error != "" && n.Role == "":
		return "unreachable"
	}
	return n.Role
}

// place is where the tables say that it is.
func (n *nodeStatus) place() string {
	if n.Endpoint == "" {
		return noAddress
	}
	return n.Endpoint
}

func writeTable(w io.Writer, nodes []nodeStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tENDPOINT\tROLE\tTERM\tLEADER\tCOMMIT\tAPPLIED\tLOG BYTES\tSNAPSHOT BYTES\tKEYS\tREACHES")
	outs := shutOut(nodes)
	for _, n := range nodes {
		if n.Error != "" {
			role := n.role()
			if i := slices.IndexFunc(outs, func(m outMember) bool { return m.name == n.Name }); i >= 0 {
				role = outs[i].role
			}
			terminal.Fprintf(t, "%s\t%s\t%s\t-\t-\t-\t-\t-\t-\t-\t-\n", orDash(n.Name), n.place(), role)
			continue
		}
		if n.Waiting != "" {
			terminal.Fprintf(t, "%s\t%s\t%s\t-\t-\t-\t-\t-\t%d\t-\t%s\n", n.Name, n.Endpoint, n.role(),
				n.SnapshotBytes, orDash(strings.Join(n.Reaches, ",")))
			continue
		}
		terminal.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", n.Name, n.Endpoint, n.role(), n.Term, orDash(n.Leader),
			n.Commit, n.Applied, n.LogBytes, n.SnapshotBytes, n.Keys, orDash(strings.Join(n.Reaches, ",")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeNotes(w, nodes)
}

// writeNotes writes what is to be said besides the table.
func writeNotes(w io.Writer, nodes []nodeStatus) error {
	for _, m := range shutOut(nodes) {
		if _, err := terminal.Fprintf(w, "%s: %s\n", m.name, m.why); err != nil {
			return err
		}
	}
	if err := writeVersions(w, nodes); err != nil {
		return err
	}
	return writeWaits(w, nodes)
}

// writeVersions writes a line if servers of different versions run: in the midst of an upgrade.
func writeVersions(w io.Writer, nodes []nodeStatus) error {
	var cluster uint64
	var known []string
	versions := map[uint64]bool{}
	for _, n := range nodes {
		if n.Error != "" || n.Waiting != "" {
			continue
		}
		version := max(n.CommandVersion, 1)
		cluster, versions[version] = max(cluster, n.ClusterVersion, 1), true
		known = append(known, fmt.Sprintf("%s knows %d", n.Name, version))
	}
	if len(versions) < 2 {
		return nil
	}
	_, err := terminal.Fprintf(w, "the cluster uses commands of version %d until all members know a later one; %s\n", cluster, strings.Join(known, ", "))
	return err
}

// outMember is a member that has stopped for good, as others report.
type outMember struct{ name, role, why string }

// shutOut returns these members, each once.
func shutOut(nodes []nodeStatus) (outs []outMember) {
	add := func(names []string, role, why string) {
		for _, name := range names {
			if !slices.ContainsFunc(outs, func(m outMember) bool { return m.name == name }) {
				outs = append(outs, outMember{name, role, why})
			}
		}
	}
	for _, n := range nodes {
		add(n.Lost, "lost", "it has lost entries that it had acknowledged, says "+n.Name+", and is shut out: it must be rebuilt")
		add(n.Diverged, "diverged", "its state differs from that of a majority, says "+n.Name+": it must be rebuilt")
	}
	return outs
}

// writeWaits writes a line for each server that does not take part yet, raises an alarm, or whose
// disk hangs.
func writeWaits(w io.Writer, nodes []nodeStatus) error {
	const notable = 1000 // ms
	for _, n := range nodes {
		if n.Waiting != "" {
			if _, err := terminal.Fprintf(w, "%s: %s\n", n.Name, n.Waiting); err != nil {
				return err
			}
		}
		if n.Alarm != "" {
			if _, err := terminal.Fprintf(w, "%s: %s\n", n.Name, n.Alarm); err != nil {
				return err
			}
		}
		if n.DiskWait < notable {
			continue
		}
		if _, err := terminal.Fprintf(w, "%s: its disk has not answered for %.1f s\n", n.Name, float64(n.DiskWait)/1000); err != nil {
			return err
		}
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
