package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"balsa.example/api"
	"balsa.example/clerk"
)

// nodeStatus is the status of one server in the output.
type nodeStatus struct {
	Name          string `json:"name,omitempty"`
	ID            string `json:"id,omitempty"`
	Cluster       string `json:"cluster,omitempty"`
	Endpoint      string `json:"endpoint"`
	Error         string `json:"error,omitempty"` // why it did not answer
	Role          string `json:"role,omitempty"`
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
	Lost           []string `json:"lost"`     // members that have lost entries which they had acknowledged to this leader
	Diverged       []string `json:"diverged"` // members whose state differs from that of a majority
	Learners       []string `json:"learners"` // the other members that do not vote
}

func (p *program) status() *cobra.Command {
	var n connection
	var out output
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the servers of a cluster",
		Long: `Show what each server says of itself. Members that the servers know of are asked too,
wherever --endpoints leads. REACHES are the members that a server has a connection to.
A member is "lost" or "diverged" if others know that it has stopped for good.
` + connectionHelp + statusExitHelp,
		Example: `  balsa status
  balsa status -o json --endpoints 10.0.0.1:23790`,
		Args: noArgs,
	}
	n.addFlags(c)
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		nodes := survey(ctx, ck)
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
  0  a leader answers, and with it a majority of the members that follow it
  1  any other error; the endpoints lead to more than one cluster
  2  wrong usage
  6  there is no leader, or no majority that follows it answers
  7  the result could not be printed: the disk is full, or the reader has ended`

// verdict is nil if the cluster serves, as far as the answers tell. A leader alone does not
// prove it: one that was cut off notices late.
func (n *connection) verdict(nodes []nodeStatus) error {
	var leader *nodeStatus
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
		if node.Role == "leader" && (leader == nil || node.Term > leader.Term) {
			leader = &node
		}
	}
	switch {
	case len(answered) == 0 && len(nodes) > 0:
		return withCode(exitUnavailable, "no server answers at %s (%s)", strings.Join(n.endpoints, ","), nodes[0].Error)
	case len(answered) == 0:
		return withCode(exitUnavailable, "no server answers at %s", strings.Join(n.endpoints, ","))
	case leader == nil:
		return withCode(exitUnavailable, "no server that answers leads: nothing is written, and only local reads are answered")
	}
	follow := 0
	for _, node := range answered {
		if node.Term == leader.Term && node.Leader == leader.Name && !slices.Contains(leader.Learners, node.Name) {
			follow++
		}
	}
	if members := 1 + len(leader.Reaches) + len(leader.Misses) - len(leader.Learners); 2*follow <= members {
		return withCode(exitUnavailable, "%s leads, but only %d of %d members answer and follow it", leader.Name, follow, members)
	}
	return nil
}

// survey asks all servers of the Clerk, and then other members that the answers mention.
func survey(ctx context.Context, ck *clerk.Clerk) []nodeStatus {
	answers := ck.StatusAll(ctx)
	var more sync.WaitGroup
	var mu sync.Mutex
	for _, peer := range unasked(answers) {
		more.Go(func() {
			reply, err := ck.Status(ctx, peer.ClientUrls[0])
			if err != nil {
				reply = nil
			}
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, clerk.ServerStatus{Endpoint: peer.ClientUrls[0], Status: reply, Err: err})
		})
	}
	more.Wait()
	names := namesIn(answers)
	var nodes []nodeStatus
	for _, a := range answers {
		nodes = append(nodes, describe(a, names))
	}
	slices.SortStableFunc(nodes, func(a, b nodeStatus) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// unasked returns the members that the answers mention and that were not asked.
func unasked(answers []clerk.ServerStatus) []*api.Peer {
	asked := make(map[string]bool)
	known := make(map[uint64]bool)
	for _, a := range answers {
		asked[hostPort(a.Endpoint)] = true
		known[a.Status.GetNodeId()] = true
	}
	var peers []*api.Peer
	for _, a := range answers {
		for _, peer := range a.Status.GetPeers() {
			isAsked := slices.ContainsFunc(peer.ClientUrls, func(u string) bool { return asked[hostPort(u)] })
			if !known[peer.NodeId] && !isAsked && len(peer.ClientUrls) > 0 {
				known[peer.NodeId] = true
				peers = append(peers, peer)
			}
		}
	}
	return peers
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
		return nodeStatus{Name: names.byAddress[endpoint], Endpoint: endpoint, Error: oneLine(a.Err)}
	}
	s := a.Status
	n := nodeStatus{
		Name: s.Name, ID: fmt.Sprintf("%016x", s.NodeId), Cluster: fmt.Sprintf("%016x", s.ClusterId), Endpoint: endpoint,
		Role: strings.ToLower(s.Role.String()), Waiting: s.Waiting, Term: s.Term, Leader: names.byID[s.LeaderId],
		Commit: s.CommitIndex, Applied: s.AppliedIndex,
		LogBytes: s.LogBytes, SnapshotIndex: s.SnapshotIndex, SnapshotBytes: s.SnapshotBytes,
		Keys: s.Keys, Revision: s.Revision, HashIndex: s.StateHashIndex,
		UptimeMillis: s.UptimeMs, DiskWait: s.DiskWaitMs, Alarm: s.Alarm, Version: s.ServerVersion,
		ClusterVersion: s.ClusterVersion, CommandVersion: s.CommandVersion,
		Reaches: []string{}, Misses: []string{}, Lost: []string{}, Diverged: []string{}, Learners: []string{},
	}
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
		if peer.Progress == api.Peer_LOST {
			n.Lost = append(n.Lost, peer.Name)
		}
		if peer.Diverged {
			n.Diverged = append(n.Diverged, peer.Name)
		}
	}
	for _, names := range [][]string{n.Reaches, n.Misses, n.Lost, n.Diverged, n.Learners} {
		slices.Sort(names)
	}
	return n
}

func writeTable(w io.Writer, nodes []nodeStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tENDPOINT\tROLE\tTERM\tLEADER\tCOMMIT\tAPPLIED\tLOG BYTES\tSNAPSHOT BYTES\tKEYS\tREACHES")
	outs := shutOut(nodes)
	for _, n := range nodes {
		if n.Error != "" {
			role := "unreachable"
			if i := slices.IndexFunc(outs, func(m outMember) bool { return m.name == n.Name }); i >= 0 {
				role = outs[i].role
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t-\t-\t-\t-\t-\t-\t-\t-\n", orDash(n.Name), n.Endpoint, role)
			continue
		}
		if n.Waiting != "" {
			fmt.Fprintf(t, "%s\t%s\t%s\t-\t-\t-\t-\t-\t%d\t-\t%s\n", n.Name, n.Endpoint, n.Role,
				n.SnapshotBytes, orDash(strings.Join(n.Reaches, ",")))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", n.Name, n.Endpoint, n.Role, n.Term, orDash(n.Leader),
			n.Commit, n.Applied, n.LogBytes, n.SnapshotBytes, n.Keys, orDash(strings.Join(n.Reaches, ",")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range outs {
		if _, err := fmt.Fprintf(w, "%s: %s\n", m.name, m.why); err != nil {
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
	_, err := fmt.Fprintf(w, "the cluster uses commands of version %d until all members know a later one; %s\n", cluster, strings.Join(known, ", "))
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
			if _, err := fmt.Fprintf(w, "%s: %s\n", n.Name, n.Waiting); err != nil {
				return err
			}
		}
		if n.Alarm != "" {
			if _, err := fmt.Fprintf(w, "%s: %s\n", n.Name, n.Alarm); err != nil {
				return err
			}
		}
		if n.DiskWait < notable {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: its disk has not answered for %.1f s\n", n.Name, float64(n.DiskWait)/1000); err != nil {
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
