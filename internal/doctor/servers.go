package doctor

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/raft"
)

// answers looks at who answers.
func (d *diagnosis) answers() {
	const check = "answers"
	denied := 0
	for _, s := range d.Servers {
		if s.Err == nil {
			continue
		}
		if clerk.Denied(s.Err) {
			if denied++; denied == 1 {
				d.say(Problem, check, s.name(), s.Err.Error(), "without a user that they know, servers say nothing of themselves",
					"--user NAME:PASSWORD, or BALSA_USER and BALSA_PASSWORD; any user will do")
			}
			continue
		}
		d.say(Warning, check, s.name(), "does not answer: "+s.Err.Error(), "it takes no part, or clients cannot reach it",
			"is its process running? Its log says why not. If it runs, see the network, firewalls, and --cacert, --cert and --key here")
	}
	d.lostWitnesses()
	if len(d.answering()) == 0 && denied == 0 {
		d.say(Problem, check, "", "no server answers", "nothing can be said of the cluster", "are the --endpoints right? Begin with the log of one server")
	}
	d.fine(check, fmt.Sprintf("%d of %d servers do", len(d.Servers), len(d.Servers)))
}

// lostWitnesses finds those that nobody can ask, and that the leader says do not answer it.
func (d *diagnosis) lostWitnesses() {
	for _, m := range d.Members {
		isServer := func(s *Server) bool { return s.Second.NodeId == m.ID }
		if m.Witness && m.Started && !m.Active && d.FromLeader && !slices.ContainsFunc(d.answering(), isServer) {
			d.say(Warning, "answers", m.Name, "it is a witness, and does not answer the leader", "one voter has failed already, and what the others lack grows until it is back",
				"is its process running? Its log says why not. If its machine is lost: balsa member replace "+m.Name)
		}
	}
}

// oneCluster finds endpoints that lead to different clusters.
func (d *diagnosis) oneCluster() {
	all := d.answering()
	for _, s := range all {
		if first := all[0]; s.Second.ClusterId != first.Second.ClusterId {
			d.say(Problem, "cluster", s.name(), fmt.Sprintf("is of another cluster than %s: %016x, not %016x", first.name(), s.Second.ClusterId, first.Second.ClusterId),
				"clients with these endpoints may talk to the wrong data", "give --endpoints of one cluster. After a restore, make sure that no old server runs")
			return
		}
	}
}

// leads is the leader of the highest term; nil if there is none.
func (d *diagnosis) leads() (leader *Server) {
	for _, s := range d.taking() {
		if s.Second.Role == api.Role_LEADER && (leader == nil || s.Second.Term > leader.Second.Term) {
			leader = s
		}
	}
	return leader
}

// leader looks whether one leads, whether a majority follows, and whether it stays.
func (d *diagnosis) leader() {
	const check = "leader"
	all := d.answering()
	leader := d.leads()
	if leader == nil {
		if unborn := d.unborn(); unborn != "" {
			d.say(Problem, check, "", "the cluster has not begun; "+unborn, "a new cluster needs all its members, once; nothing is served until then",
				"start the members that do not run; if they run, their logs say why they cannot be reached")
		} else if len(all) > 0 {
			d.say(Problem, check, "", fmt.Sprintf("none leads of those that answer, %d of %d", len(all), len(d.Servers)), "nothing is written, and only local reads are answered",
				"start the members that do not run, or mend the network between them: a majority of the voters must reach each other. "+
					"If a majority is lost for good, see docs/recovery.md")
		}
		return
	}
	voters, follow := d.voting(), 0
	for _, s := range d.taking() {
		if s.Second.LeaderId == leader.Second.NodeId && s.Second.Term == leader.Second.Term && slices.Contains(voters, s.Second.NodeId) {
			follow++
		}
	}
	follow += d.silentWitnesses()
	if 2*follow <= len(voters) {
		d.say(Problem, check, leader.name(), fmt.Sprintf("it leads, but only %d of %d voters answer and follow it", follow, len(voters)),
			"if the others do not reach it either, nothing is written", "start the members that do not run, or mend the network between them")
	}
	for _, s := range d.taking() {
		if s.First != nil && s.Second.Term > s.First.Term {
			d.say(Warning, check, s.name(), fmt.Sprintf("the term went from %d to %d while doctor looked", s.First.Term, s.Second.Term),
				"an election is a pause of all writes", "see the disks and round trips below, and raise --election-timeout on all members if a loaded machine or network is the cause")
			break
		}
	}
	d.fine(check, fmt.Sprintf("%s leads in term %d; %d of %d voters follow", leader.name(), leader.Second.Term, follow, len(voters)))
}

// begins is in what a server says that waits for the birth of its cluster. It is for people, so a test in cmd/balsa compares it.
const begins = "the cluster begins when all members have been reached once"

// unborn says for whom a new cluster waits; empty if it has begun, or if that is not known.
func (d *diagnosis) unborn() (waits string) {
	if len(d.taking()) > 0 {
		return ""
	}
	for _, s := range d.answering() {
		_, rest, ok := strings.Cut(s.Second.Waiting, begins)
		how, who, _ := strings.Cut(rest, "; ")
		switch names, waiting := strings.CutPrefix(who, "waiting for "); {
		case !ok:
		case waiting && how == "": // of who begins the cluster, mostly, and that one knows best
			return "it waits for " + names
		case waiting && waits == "":
			waits = "it waits for " + names
		case waits == "":
			waits = who
		}
	}
	return waits
}

// voting are the ids of the voters; those that the leader knows, where it has not been asked for the members.
func (d *diagnosis) voting() (ids []uint64) {
	for _, m := range d.Members {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	leader := d.leads()
	if len(ids) > 0 || leader == nil {
		return ids
	}
	ids = append(ids, leader.Second.NodeId)
	for _, p := range leader.Second.Peers {
		if !p.Learner {
			ids = append(ids, p.NodeId)
		}
	}
	return ids
}

// silentWitnesses is how many witnesses answer the leader: clients are not told where they are.
func (d *diagnosis) silentWitnesses() (n int) {
	for _, m := range d.Members {
		asked := slices.ContainsFunc(d.taking(), func(s *Server) bool { return s.Second.NodeId == m.ID })
		if m.Witness && m.Voter && m.Active && !asked {
			n++
		}
	}
	return n
}

// voters looks at how many members may fail.
func (d *diagnosis) voters() {
	const check = "voters"
	n := len(d.voting())
	switch {
	case n == 0:
		return
	case n == 1:
		d.say(Warning, check, "", "there is one voter", "if its machine fails, nothing is served; if its disk fails, the data is lost",
			`add two: "balsa serve --join" on two other machines`)
	case n%2 == 0:
		d.say(Warning, check, "", fmt.Sprintf("there are %d voters, an even number", n),
			fmt.Sprintf("%d of them must be up, so %d may fail: no more than with %d, and there is one more that can", n/2+1, n-n/2-1, n-1),
			d.toOdd(n))
	}
	d.oneMachine()
	d.fine(check, fmt.Sprintf("%d voters: %d may fail", n, n-n/2-1))
}

// toOdd is how so many voters become an odd number, of what the cluster accepts: with a witness it has few voters, those counted that are
// to vote.
func (d *diagnosis) toOdd(voters int) string {
	witness := false
	if leader := d.leads(); leader != nil {
		witness = slices.ContainsFunc(leader.Second.Peers, func(p *api.Peer) bool { return p.Witness })
	}
	for _, m := range d.Members {
		witness = witness || m.Witness
		if m.Promote && m.Replaces == 0 {
			voters++
		}
	}
	switch {
	case voters < raft.MaxVotersWithWitness:
		return `add one, be it a witness ("balsa serve --join --witness"), or remove one`
	case witness:
		return fmt.Sprintf("remove one: a cluster with a witness has at most %d voters", raft.MaxVotersWithWitness)
	}
	return `add one ("balsa serve --join"), or remove one`
}

// oneMachine finds voters that share a host, so that one failure may take a majority.
func (d *diagnosis) oneMachine() {
	hosts := map[string][]string{}
	voters := 0
	for _, m := range d.Members {
		if !m.Voter || len(m.PeerURLs) == 0 {
			continue
		}
		voters++
		if host := hostOf(m.PeerURLs[0]); host != "" {
			hosts[host] = append(hosts[host], m.Name)
		}
	}
	for host, names := range hosts {
		if len(names) > 1 && 2*len(names) > voters {
			d.say(Note, "voters", "", fmt.Sprintf("%s have one address, %s", strings.Join(names, ", "), host),
				"if that machine fails, so does the cluster", "that is well to try things out. Else run them on machines of their own")
		}
	}
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Hostname()
	}
	host, _, _ := net.SplitHostPort(address)
	return host
}

// joining looks at members that do not vote yet, or never started.
func (d *diagnosis) joining() {
	const check = "learners"
	for _, m := range d.Members {
		switch name := nameOf(m); {
		case m.Voter && !m.Started, m.Voter && m.Name == "":
			d.say(Warning, check, name, "is a member, and has never started", "it counts as a voter that is down",
				fmt.Sprintf(`start it with "balsa serve --join", or remove it with "balsa member remove %016x"`, m.ID))
		case m.Voter:
		case !m.Started:
			d.say(Warning, check, name, "has a place, and no server has taken it", "the change of the members is not done",
				fmt.Sprintf(`start it with "balsa serve --join", or give the place up with "balsa member remove %016x"`, m.ID)) // two may have its name
		case m.Promote && !m.Active && d.FromLeader:
			d.say(Warning, check, name, "is to vote, and does not answer the leader", "it will not be caught up, so it will never vote",
				"start it, or see the network between it and the leader; its log says what it waits for")
		case m.Promote:
			d.say(Note, check, name, fmt.Sprintf("is to vote, and lacks %d entries", m.BehindEntries), "it votes when it is caught up",
				`look again: "balsa member list". If it does not get closer, writes come faster than it can take them`)
		default:
			d.say(Note, check, name, "is a learner: it never votes", "it does not count when members fail", `"balsa member promote" lets it vote`)
		}
	}
	unborn := d.unborn() != ""
	for _, s := range d.answering() {
		if s.Second.Role == api.Role_WAITING && (!unborn || !strings.Contains(s.Second.Waiting, begins)) {
			d.say(Warning, check, s.name(), "takes no part yet: "+s.Second.Waiting, "it serves nobody until then", "see the members that it waits for")
		}
	}
	if len(d.Members) > 0 {
		d.fine(check, "all members vote")
	}
}

func nameOf(m clerk.Member) string {
	if m.Name != "" {
		return m.Name
	}
	return fmt.Sprintf("%016x", m.ID)
}

// connections looks at whether members reach each other, and at members that are shut out.
func (d *diagnosis) connections() {
	const check = "connections"
	answers := map[uint64]bool{}
	for _, s := range d.answering() {
		answers[s.Second.NodeId] = true
	}
	for _, s := range d.taking() {
		for _, p := range s.Second.Peers {
			switch {
			case p.Progress == api.Peer_LOST:
				d.say(Problem, "members", p.Name, "has lost entries that it had acknowledged, says "+s.name(), "it is shut out, and counts as one that is down",
					`replace it: "balsa member replace", and a new data directory. Do not put back a copy of the old one`)
			case p.Diverged:
				d.say(Problem, "members", p.Name, "its state differs from that of a majority, says "+s.name(), "it has stopped for good; its memory or disk may be bad",
					`test the machine's memory, then "balsa member replace", with a new data directory`)
			case !p.Connected && answers[p.NodeId]:
				d.say(Warning, check, s.name(), "has no connection to "+p.Name+", which answers here", "the network is cut between them, or one refuses the other",
					"the logs of both say why: addresses, firewalls, certificates of peers or the cluster secret")
			}
		}
	}
	d.fine(check, "all members that answer reach each other")
}

// ports looks at addresses that cannot be connected to from here.
func (d *diagnosis) ports() {
	for _, p := range d.Ports {
		if p.Err != nil {
			d.say(Note, "ports", p.Of, p.Address+" cannot be connected to from here: "+p.Err.Error(),
				"other members must reach the addresses of peers, and clients those of clients; this machine perhaps need not", "if it should, see firewalls and the flags --listen-... and --advertise-... of that server")
		}
	}
	if len(d.Ports) > 0 {
		d.fine("ports", fmt.Sprintf("%d addresses of members can be connected to from here", len(d.Ports)))
	}
}
