package server

import (
	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/raft"
	"balsa.example/transport"
)

// status is the whole status of a server, be its replica running or not.
func (s *Server) status() *api.StatusReply {
	reply := &api.StatusReply{NodeId: uint64(s.self.ID), Role: api.Role_WAITING, Waiting: s.native.Waiting()}
	if r := s.native.Replica(); r != nil {
		reply = r.Status()
		reply.SnapshotBytes = uint64(r.State.Figures().RunBytes)
	}
	reply.Name, reply.ClusterId, reply.ServerVersion = s.self.Name, s.member.ClusterID(), s.cfg.Version
	disk := s.member.LogStats()
	reply.DataBytes = uint64(disk.LogBytes) + reply.SnapshotBytes
	reply.UptimeMs = uint64(s.uptime().Milliseconds())
	reply.Peers = s.peers(reply.Peers)
	return reply
}

// peers describes the other members, as the transport and, if it leads, the replica
// see them.
func (s *Server) peers(progress []*api.Peer) []*api.Peer {
	var peers []*api.Peer
	for _, m := range s.cfg.Cluster.Others(s.self.ID) {
		p := &api.Peer{NodeId: uint64(m.ID), Name: m.Name}
		if seen, ok := s.member.Transport().Peer(m.ID); ok {
			p.Connected = seen.Connected
			p.ClientUrls = attributesOf(seen).GetClientUrls()
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

// leader describes a member to clients: the hint in WRONG_LEADER.
func (s *Server) leader(id raft.NodeID) *api.Leader {
	m, ok := s.cfg.Cluster.Member(id)
	if !ok {
		return nil
	}
	hint := &api.Leader{NodeId: uint64(id), Name: m.Name}
	if seen, ok := s.member.Transport().Peer(id); ok {
		hint.ClientUrls = attributesOf(seen).GetClientUrls()
	}
	return hint
}

// attributes is what a server tells its peers about itself, so that they can tell
// clients: an api.Leader.
func (s *Server) attributes() ([]byte, error) {
	about := &api.Leader{NodeId: uint64(s.self.ID), Name: s.self.Name}
	for _, u := range s.cfg.AdvertiseClient {
		about.ClientUrls = append(about.ClientUrls, u.String())
	}
	return proto.Marshal(about)
}

// attributesOf reads the attributes of a peer; nil if there are none yet.
func attributesOf(p transport.PeerStatus) *api.Leader {
	about := new(api.Leader)
	if len(p.Attributes) == 0 || proto.Unmarshal(p.Attributes, about) != nil {
		return nil
	}
	return about
}
