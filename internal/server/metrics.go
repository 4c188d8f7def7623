package server

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"balsa.example/api"
	"balsa.example/internal/metrics"
	"balsa.example/member"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// serveMetrics shows operators what this server does, if anybody is to listen.
func (s *Server) serveMetrics() {
	if len(s.cfg.MetricsListeners) == 0 {
		return
	}
	s.front.requests = newRequests()
	s.metrics = metrics.Serve(metrics.Config{
		Sample:      s.sample,
		Health:      s.health,
		Collectors:  []prometheus.Collector{s.syncs, s.front.requests},
		Pprof:       s.cfg.Pprof,
		Connections: s.shares.metrics,
		Logger:      s.log,
	}, s.cfg.MetricsListeners...)
	s.log.Info("serving metrics", "endpoints", urlList(s.cfg.ListenMetrics))
}

func (s *Server) closeMetrics() {
	if s.metrics != nil {
		s.metrics.Close()
	}
}

// health is nil if this server takes part in the cluster and knows a leader, else why
// it cannot serve.
func (s *Server) health() error {
	replica := s.front.replica.Load()
	switch {
	case s.Err() != nil:
		return s.Err()
	case s.ctx.Err() != nil:
		return errors.New("server is stopping")
	case replica == nil:
		return errors.New(*s.front.waiting.Load())
	case replica.Node.Status().Leader == raft.None:
		return errors.New("no leader is known")
	}
	return nil
}

// sample reads the figures of this moment.
func (s *Server) sample() metrics.Sample {
	disk := s.member.LogStats()
	sample := metrics.Sample{
		Name:    s.self.Name,
		Version: s.cfg.Version,
		Disk: metrics.Disk{
			LogBytes: disk.LogBytes, Segments: disk.Segments, LowSpace: disk.LowSpace,
			SnapshotIndex: uint64(disk.SnapshotIndex), SnapshotBytes: disk.SnapshotBytes,
		},
	}
	sample.LogDropped, sample.LogWaiting = s.cfg.LogStats()
	s.sampleClients(&sample)
	var known rsm.Status
	if r := s.front.replica.Load(); r != nil {
		sample.Replica, known = r.sample()
	}
	for _, m := range s.cfg.Cluster.Others(s.self.ID) {
		sample.Peers = append(sample.Peers, s.samplePeer(m, known))
	}
	sample.TLS = s.sampleTLS()
	return sample
}

// sampleClients reads what clients take up, and how often that was too much.
func (s *Server) sampleClients(sample *metrics.Sample) {
	c := s.front.clients
	connections, handshakes := c.slots.Stats(), s.member.Transport().Stats()
	sample.Requests, sample.RequestBytes = c.requests.things.Load(), c.requests.bytes.Load()
	sample.Clients, sample.Streams, sample.UnfinishedBytes = int64(connections.Taken), c.streams.things.Load(), c.unfinished.Load()
	sample.Surplus = []metrics.Surplus{
		{Of: "connections", Count: connections.Refused + connections.Evicted},
		{Of: "streams", Count: c.lost.streams.Count()},
		{Of: "requests", Count: c.lost.requests.Count()},
		{Of: "unfinished", Count: c.lost.unfinished.Count()},
		{Of: "stalled", Count: c.lost.stalled.Count()},
		{Of: "handshakes", Count: handshakes.Evicted},
	}
}

// sample reads the replica's figures, and what it knows of the others if it leads.
func (r *Replica) sample() (*metrics.Replica, rsm.Status) {
	st := r.Node.Status()
	return &metrics.Replica{
		HasLeader:     st.Leader != raft.None,
		IsLeader:      st.Role == raft.Leader,
		LeaderChanges: st.LeaderChanges,
		Term:          uint64(st.Term),
		CommitIndex:   uint64(st.Commit),
		AppliedIndex:  uint64(st.Applied),
		LastIndex:     uint64(st.LastIndex),
		LogBytes:      st.LogBytes,
		PendingWrites: st.Pending,
		DiskWait:      st.DiskWait,
		Alarm:         st.Alarm,
		Keys:          r.Store.Len(),
		StoreBytes:    r.Store.Bytes(),
		Revision:      r.Store.Revision(),
	}, st
}

// samplePeer describes a member as the transport and, if it leads, the replica see it.
func (s *Server) samplePeer(m member.Spec, known rsm.Status) metrics.Peer {
	p := metrics.Peer{Name: m.Name, Diverged: slices.Contains(known.Diverged, m.ID)}
	if seen, ok := s.member.Transport().Peer(m.ID); ok {
		p.Connected, p.Dropped, p.LastActive = seen.Connected, seen.Dropped, seen.LastActive
		p.BytesIn, p.BytesOut = seen.BytesIn, seen.BytesOut
	}
	if i := slices.IndexFunc(known.Peers, func(k raft.PeerStatus) bool { return k.ID == m.ID }); i >= 0 {
		peer := known.Peers[i]
		p.MatchIndex, p.Lost = uint64(peer.Match), progress[peer.State] == api.Peer_LOST
	}
	return p
}

// newRequests names the kinds and the codes of the API: put, version_mismatch.
func newRequests() *metrics.Requests {
	return metrics.NewRequests(lowerNames(api.Request_Kind_name), lowerNames(api.Reply_Code_name))
}

// lowerNames lists the names of an enumeration by number, up to the first gap.
func lowerNames(names map[int32]string) []string {
	var all []string
	for i := range int32(len(names)) {
		name, ok := names[i]
		if !ok {
			break
		}
		all = append(all, strings.ToLower(name))
	}
	return all
}

// measured is reply, with the request counted when it is answered.
func measured(requests *metrics.Requests, kind api.Request_Kind, reply func(*api.Reply)) func(*api.Reply) {
	k, timed := requests.Begin(int(kind))
	if timed {
		untimed, start := reply, time.Now()
		reply = func(r *api.Reply) {
			k.Time(time.Since(start))
			untimed(r)
		}
	}
	counted := reply // a copy that never changes is kept without a box of its own
	return func(r *api.Reply) {
		k.Count(int(r.Code))
		counted(r)
	}
}
