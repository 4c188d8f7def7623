package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"balsa.example/api"
	"balsa.example/clerk"
)

// surveyor asks servers for their status: those that it knows, and those that the answers mention.
type surveyor struct {
	status func(ctx context.Context, endpoint string) (*api.StatusReply, error)
	given  []string // where servers are asked
	// guessed: given is where servers usually are, and nobody has said that some are there now.
	guessed bool
	// members are who the answers have mentioned the last time, and ids who has answered where.
	members []*api.Peer
	ids     map[string]uint64
}

func newSurveyor(ck *clerk.Clerk, n *connection) *surveyor {
	return &surveyor{
		status: ck.Status, given: n.endpoints, guessed: n.flags != nil && !n.flags.Changed("endpoints"), ids: make(map[string]uint64),
	}
}

// look asks all, at the same time, until ctx ends. Servers that one of the answers mentions are asked as
// soon as it comes, so that no other one is waited for.
func (s *surveyor) look(ctx context.Context) []nodeStatus {
	answers := s.ask(ctx)
	names := s.names(answers)
	var nodes []nodeStatus
	for _, a := range answers {
		nodes = append(nodes, describe(a, names))
	}
	nodes = append(nodes, s.unasked(nodes)...)
	slices.SortStableFunc(nodes, func(a, b nodeStatus) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// names are those that the answers tell, also of servers that have answered only before.
func (s *surveyor) names(answers []clerk.ServerStatus) directory {
	names := namesIn(answers)
	for endpoint, id := range s.ids {
		if names.byAddress[endpoint] == "" {
			names.byAddress[endpoint] = names.byID[id]
		}
	}
	return names
}

// byID are the answers by the server.
func byID(answers []clerk.ServerStatus) map[uint64]*api.StatusReply {
	all := make(map[uint64]*api.StatusReply)
	for _, a := range answers {
		if a.Status != nil {
			all[a.Status.NodeId] = a.Status
		}
	}
	return all
}

// noAddress stands for the endpoint of a member that tells clients none.
const noAddress = "no client address"

// unasked are the witnesses that nobody was told how to ask. What is known of one is whether others reach it.
func (s *surveyor) unasked(nodes []nodeStatus) (witnesses []nodeStatus) {
	for _, m := range s.members {
		isIt := func(n nodeStatus) bool { return n.Name == m.Name }
		if !m.Witness || len(m.ClientUrls) > 0 || slices.ContainsFunc(nodes, isIt) || slices.ContainsFunc(witnesses, isIt) {
			continue
		}
		w := nodeStatus{Name: m.Name, ID: fmt.Sprintf("%016x", m.NodeId), Witness: true, Error: noAddress}
		if slices.ContainsFunc(nodes, func(n nodeStatus) bool { return slices.Contains(n.Reaches, m.Name) }) {
			w.Role = "follower"
		}
		witnesses = append(witnesses, w)
	}
	return witnesses
}

func (s *surveyor) ask(ctx context.Context) (answers []clerk.ServerStatus) {
	came := make(chan clerk.ServerStatus)
	asked := make(map[string]bool)
	begin := func(endpoint string) {
		if asked[hostPort(endpoint)] {
			return
		}
		asked[hostPort(endpoint)] = true
		go func() {
			reply, err := s.status(ctx, endpoint)
			if err != nil {
				reply = nil
			}
			came <- clerk.ServerStatus{Endpoint: endpoint, Status: reply, Err: err}
		}()
	}
	others := func(peers []*api.Peer) {
		for _, peer := range peers {
			at := func(u string) bool { return asked[hostPort(u)] }
			if len(peer.ClientUrls) > 0 && !slices.ContainsFunc(peer.ClientUrls, at) && !s.isAsked(peer.NodeId, asked) {
				begin(peer.ClientUrls[0])
			}
		}
	}
	for _, endpoint := range s.given {
		begin(endpoint)
	}
	others(s.members)
	var members []*api.Peer
	for len(answers) < len(asked) {
		a := <-came
		answers = append(answers, a)
		if a.Status != nil {
			s.ids[hostPort(a.Endpoint)] = a.Status.NodeId
			members = append(members, a.Status.Peers...)
			others(a.Status.Peers)
		}
	}
	if len(members) > 0 {
		s.members = members
	}
	return s.ofMembers(s.once(answers))
}

// ofMembers leaves out who does not answer at an address that was only guessed, if the members are known to
// be elsewhere: a member that was removed, say.
func (s *surveyor) ofMembers(answers []clerk.ServerStatus) []clerk.ServerStatus {
	unknown := func(m *api.Peer) bool { return len(m.ClientUrls) == 0 && !m.Witness }
	takesPart := func(a clerk.ServerStatus) bool { return a.Status != nil && a.Status.Role != api.Role_WAITING }
	isKnown := len(s.members) > 0 || slices.ContainsFunc(answers, takesPart) // one that is alone mentions nobody
	if !s.guessed || !isKnown || slices.ContainsFunc(s.members, unknown) {
		return answers
	}
	return slices.DeleteFunc(answers, func(a clerk.ServerStatus) bool {
		at := hostPort(a.Endpoint)
		return a.Err != nil && !slices.ContainsFunc(s.members, func(m *api.Peer) bool {
			return m.NodeId == s.ids[at] || slices.ContainsFunc(m.ClientUrls, func(u string) bool { return hostPort(u) == at })
		})
	})
}

// isAsked tells whether a member is asked where it was found before.
func (s *surveyor) isAsked(id uint64, asked map[string]bool) bool {
	for endpoint, found := range s.ids {
		if found == id && asked[endpoint] {
			return true
		}
	}
	return false
}

// once has each server once, also one that is found at several addresses: at the first that was given.
func (s *surveyor) once(answers []clerk.ServerStatus) (all []clerk.ServerStatus) {
	place := func(a clerk.ServerStatus) int {
		i := slices.IndexFunc(s.given, func(g string) bool { return hostPort(g) == hostPort(a.Endpoint) })
		if i < 0 {
			return len(s.given)
		}
		return i
	}
	slices.SortStableFunc(answers, func(a, b clerk.ServerStatus) int { return place(a) - place(b) })
	heard := make(map[uint64]bool)
	for _, a := range answers {
		id := a.Status.GetNodeId()
		if id != 0 && heard[id] {
			continue
		}
		heard[id] = true
		all = append(all, a)
	}
	return all
}
