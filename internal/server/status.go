package server

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/transport"
)

// roles gives the wire form of each role.
var roles = map[raft.Role]api.Role{
	raft.Follower:     api.Role_FOLLOWER,
	raft.PreCandidate: api.Role_CANDIDATE,
	raft.Candidate:    api.Role_CANDIDATE,
	raft.Leader:       api.Role_LEADER,
}

// progress gives the wire form of raft.PeerStatus.State.
var progress = map[string]api.Peer_Progress{
	"probe":     api.Peer_PROBE,
	"replicate": api.Peer_REPLICATE,
	"snapshot":  api.Peer_SNAPSHOT,
	"lost":      api.Peer_LOST,
}

// alarmText is for people.
func alarmText(alarm bool) string {
	if !alarm {
		return ""
	}
	return rsm.ErrAlarm.Error()
}

// Status describes the replica, without what only the network around it knows.
func (s *Service) Status() *api.StatusReply {
	st, hashed := s.picture()
	reply := &api.StatusReply{
		NodeId:         uint64(st.ID),
		Role:           roles[st.Role],
		Term:           uint64(st.Term),
		LeaderId:       uint64(st.Leader),
		CommitIndex:    uint64(st.Commit),
		AppliedIndex:   uint64(st.Applied),
		FirstIndex:     uint64(st.FirstIndex),
		LastIndex:      uint64(st.LastIndex),
		LogBytes:       uint64(st.LogBytes),
		SnapshotIndex:  uint64(st.Snapshot.Index),
		DiskWaitMs:     uint64(st.DiskWait.Milliseconds()),
		Alarm:          alarmText(st.Alarm),
		Keys:           uint64(s.Store.Len()),
		Revision:       hashed.revision,
		StateHash:      hashed.hash,
		StateHashIndex: uint64(hashed.index),
	}
	for _, p := range st.Peers {
		reply.Peers = append(reply.Peers, &api.Peer{
			NodeId:     uint64(p.ID),
			Connected:  p.Active,
			Progress:   progress[p.State],
			MatchIndex: uint64(p.Match),
		})
	}
	for _, id := range st.Diverged {
		i := slices.IndexFunc(reply.Peers, func(p *api.Peer) bool { return p.NodeId == uint64(id) })
		if i < 0 { // it does not lead
			i, reply.Peers = len(reply.Peers), append(reply.Peers, &api.Peer{NodeId: uint64(id)})
		}
		reply.Peers[i].Diverged = true
	}
	return reply
}

// stateHash is a hash of the store at a revision, and at an index of the log if that
// is known.
type stateHash struct {
	hash, revision uint64
	index          raft.Index // 0: entries were applied meanwhile
}

// pictureAttempts is how often picture tries to catch the store between changes.
const pictureAttempts = 4

// picture returns the replica's status with a hash that belongs to it. A store under
// load may give no such moment; the revision is right all the same, and the hash is
// that of the revision or 0.
func (s *Service) picture() (rsm.Status, stateHash) {
	var after rsm.Status
	var h stateHash
	for range pictureAttempts {
		before := s.node.Status()
		h = stateHash{revision: s.Store.Revision(), hash: s.Store.Hash()}
		if s.Store.Revision() != h.revision {
			h.hash = 0
		}
		after = s.node.Status()
		// What is not committed is not applied either: so nothing was in between.
		if h.hash != 0 && before.Applied == after.Commit {
			h.index = after.Commit
			break
		}
	}
	return after, h
}

// status is the whole status of a server, be its replica running or not.
func (s *Server) status() *api.StatusReply {
	reply := &api.StatusReply{NodeId: uint64(s.self.ID), Role: api.Role_WAITING, Waiting: *s.front.waiting.Load()}
	if r := s.front.replica.Load(); r != nil {
		reply = r.Status()
	}
	reply.Name, reply.ClusterId, reply.ServerVersion = s.self.Name, s.member.ClusterID(), s.cfg.Version
	disk := s.member.LogStats()
	reply.SnapshotBytes = uint64(disk.SnapshotBytes)
	reply.DataBytes = uint64(disk.LogBytes + disk.SnapshotBytes)
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
