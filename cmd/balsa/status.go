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

	"balsa/api"
	"balsa/clerk"
)

// nodeStatus is one server as status shows it.
type nodeStatus struct {
	Name          string   `json:"name,omitempty"`
	ID            string   `json:"id,omitempty"`
	Cluster       string   `json:"cluster,omitempty"`
	Endpoint      string   `json:"endpoint"`
	Error         string   `json:"error,omitempty"` // why it did not answer
	Role          string   `json:"role,omitempty"`
	Term          uint64   `json:"term"`
	Leader        string   `json:"leader,omitempty"`
	Commit        uint64   `json:"commit"`
	Applied       uint64   `json:"applied"`
	LogBytes      uint64   `json:"log_bytes"`
	SnapshotIndex uint64   `json:"snapshot_index"`
	SnapshotBytes uint64   `json:"snapshot_bytes"`
	Keys          uint64   `json:"keys"`
	Revision      uint64   `json:"revision"`
	Hash          string   `json:"hash,omitempty"`
	HashIndex     uint64   `json:"hash_index,omitempty"`
	UptimeMillis  uint64   `json:"uptime_ms"`
	DiskWait      uint64   `json:"disk_wait_ms"` // of the write or sync under way, so far
	Version       string   `json:"version,omitempty"`
	Reaches       []string `json:"reaches"`
	Misses        []string `json:"misses"`
}

func (p *program) status() *cobra.Command {
	var n connection
	var out output
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the servers of a cluster",
		Long: `Show what each server says of itself. Members that the servers know of are asked too,
wherever --endpoints leads. REACHES are the members that a server has a connection to.
` + connectionHelp,
		Example: `  balsa status
  balsa status -o json --endpoints 10.0.0.1:23790`,
		Args: usageArgs(cobra.NoArgs),
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
		if out.isJSON() {
			err = writeJSON(p.stdout, struct {
				Nodes []nodeStatus `json:"nodes"`
			}{nodes})
		} else {
			err = writeTable(p.stdout, nodes)
		}
		if err == nil && !slices.ContainsFunc(nodes, func(n nodeStatus) bool { return n.Error == "" }) {
			err = withCode(exitUnavailable, "no server answers at %s", strings.Join(n.endpoints, ","))
			if len(nodes) > 0 {
				err = withCode(exitUnavailable, "%w (%s)", err, nodes[0].Error)
			}
		}
		return err
	}
	return c
}

// survey asks all servers of the Clerk, and then those that the answers tell of.
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

// unasked returns the members that are mentioned in answers, but are not the source
// of one, answered or not.
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
		Role: strings.ToLower(s.Role.String()), Term: s.Term, Leader: names.byID[s.LeaderId],
		Commit: s.CommitIndex, Applied: s.AppliedIndex,
		LogBytes: s.LogBytes, SnapshotIndex: s.SnapshotIndex, SnapshotBytes: s.SnapshotBytes,
		Keys: s.Keys, Revision: s.Revision, HashIndex: s.StateHashIndex,
		UptimeMillis: s.UptimeMs, DiskWait: s.DiskWaitMs, Version: s.ServerVersion,
		Reaches: []string{}, Misses: []string{},
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
	}
	return n
}

func writeTable(w io.Writer, nodes []nodeStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tENDPOINT\tROLE\tTERM\tLEADER\tCOMMIT\tAPPLIED\tLOG BYTES\tSNAPSHOT BYTES\tKEYS\tREACHES")
	for _, n := range nodes {
		if n.Error != "" {
			fmt.Fprintf(t, "%s\t%s\tunreachable\t-\t-\t-\t-\t-\t-\t-\t-\n", orDash(n.Name), n.Endpoint)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", n.Name, n.Endpoint, n.Role, n.Term, orDash(n.Leader),
			n.Commit, n.Applied, n.LogBytes, n.SnapshotBytes, n.Keys, orDash(strings.Join(n.Reaches, ",")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeDiskWaits(w, nodes)
}

// writeDiskWaits names the servers whose disk hangs, or nearly.
func writeDiskWaits(w io.Writer, nodes []nodeStatus) error {
	const notable = 1000 // ms
	for _, n := range nodes {
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
