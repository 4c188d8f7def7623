package server

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/member"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/transport"
)

// status is the whole status of a server, be its replica running or not.
func (s *Server) status() *api.StatusReply {
	reply := &api.StatusReply{NodeId: uint64(s.id()), Role: api.Role_WAITING, Waiting: s.native.Waiting()}
	if r := s.running.Load(); r != nil {
		reply = r.Status()
		reply.SnapshotBytes = uint64(r.State.Figures().RunBytes)
	}
	if w := s.witness.Load(); w != nil {
		reply = witnessStatus(w)
	}
	if known, ok := s.member.Self(); ok && !known.Voter && reply.Role == api.Role_FOLLOWER {
		reply.Role = api.Role_LEARNER
	}
	reply.Name, reply.ClusterId, reply.ServerVersion = s.cfg.Name, s.member.ClusterID(), s.cfg.Version
	reply.Witness = s.cfg.Witness
	disk := s.member.LogStats()
	reply.DataBytes = uint64(disk.LogBytes) + reply.SnapshotBytes
	reply.UptimeMs = uint64(s.uptime().Milliseconds())
	reply.Peers = s.peers(reply.Peers)
	s.compare(reply)
	return reply
}

// others are the other members, as far as this one knows.
func (s *Server) others() []member.Info {
	return slices.DeleteFunc(s.member.Known().All, func(m member.Info) bool { return m.ID == s.id() })
}

// peers describes the other members, as the transport and, if it leads, the replica
// see them.
func (s *Server) peers(progress []*api.Peer) []*api.Peer {
	var peers []*api.Peer
	for _, m := range s.others() {
		p := &api.Peer{NodeId: uint64(m.ID), Name: m.Name, ClientUrls: s.clientURLs(m), Learner: !m.Voter, Witness: m.Witness}
		if seen, ok := s.member.Peer(m.ID); ok {
			p.Connected = seen.Connected
		}
		if trip, ok := s.member.RoundTrip(m.ID); ok {
			p.RoundTripUs = uint64(trip.Microseconds())
		}
		for _, known := range progress {
			if known.NodeId == p.NodeId {
				p.Progress, p.MatchIndex, p.Diverged = known.Progress, known.MatchIndex, known.Diverged
			}
		}
		peers = append(peers, p)
	}
	return peers
}

// clientURLs are where clients find a member: as the cluster knows or, in one that has no roster yet, as
// the member has said itself.
func (s *Server) clientURLs(m member.Info) []string {
	switch seen, ok := s.member.Peer(m.ID); {
	case len(m.Clients) > 0:
		return m.Clients
	case m.ID == s.id():
		return s.advertised()
	case ok:
		return attributesOf(seen).GetClientUrls()
	}
	return nil
}

// peerURLs are where other members find a member. A cluster that has no roster yet knows no schemes.
func (s *Server) peerURLs(m member.Info) (all []string) {
	for _, address := range m.Peers {
		if !strings.Contains(address, "://") {
			address = s.cfg.ListenPeer[0].Scheme + "://" + address
		}
		all = append(all, address)
	}
	return all
}

// advertised are where clients find this server; a witness answers none.
func (s *Server) advertised() (all []string) {
	for _, u := range s.cfg.AdvertiseClient {
		if !s.cfg.Witness {
			all = append(all, u.String())
		}
	}
	return all
}

// leader describes a member to clients: the hint in WRONG_LEADER.
func (s *Server) leader(id raft.NodeID) *api.Leader {
	for _, m := range s.member.Known().All {
		if m.ID == id {
			return &api.Leader{NodeId: uint64(id), Name: m.Name, ClientUrls: s.clientURLs(m)}
		}
	}
	return nil
}

// attributes is what a server tells its peers about itself, so that they can tell
// clients: an api.Leader.
func (s *Server) attributes() ([]byte, error) {
	about := &api.Leader{NodeId: uint64(s.id()), Name: s.cfg.Name, ClientUrls: s.advertised(), CommandVersion: state.Version}
	return proto.Marshal(about)
}

// knownVersion is the version of commands that another member knows, as it said itself. A member of a
// program that does not say so knows the first.
func (s *Server) knownVersion(id raft.NodeID) (version uint64, ok bool) {
	seen, ok := s.member.Peer(id)
	if !ok || !seen.Connected || len(seen.Attributes) == 0 {
		return 0, false
	}
	return max(attributesOf(seen).GetCommandVersion(), 1), true
}

// attributesOf reads the attributes of a peer; nil if there are none yet.
func attributesOf(p transport.PeerStatus) *api.Leader {
	about := new(api.Leader)
	if len(p.Attributes) == 0 || proto.Unmarshal(p.Attributes, about) != nil {
		return nil
	}
	return about
}
