package server

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/machine"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/member"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// openMetrics makes a port for each address of metrics, of those that have no port for clients: what
// one answers by HTTP the other does, too.
func (s *Server) openMetrics() {
	if len(s.cfg.MetricsListeners) == 0 {
		return
	}
	limits := clients.Limits{Connections: s.shares.metrics, Streams: metricsStreams}
	s.metrics = clients.New(clients.Config{
		Name: "metrics", Limits: limits, TLS: s.clientTLSConfig(), Codec: api.Codec(), Logger: s.log,
		HTTP: s.httpHandler(func() *clients.Port { return s.metrics }, s.cfg.Pprof, nil),
	})
	for i, l := range s.cfg.MetricsListeners {
		s.metricsWork.Go(func() {
			if err := serveOn(s.metrics, l, s.cfg.ListenMetrics, i); err != nil {
				// The member goes on, since its clients can do without metrics.
				s.log.Error("metrics are not served any more", "address", l.Addr(), "error", err)
			}
		})
	}
	s.metricsWork.Go(func() { s.metrics.WatchClients(s.metricsCtx) })
	s.log.Info("serving metrics", "endpoints", urlList(s.cfg.ListenMetrics))
}

// metricsStreams bounds the requests of one connection to an address for metrics.
const metricsStreams = 16

func (s *Server) closeMetrics() {
	s.metricsEnd()
	if s.metrics != nil {
		s.metrics.Stop()
	}
	s.metricsWork.Wait()
}

// tripInterval is how often the round trips to the other members are looked at.
const tripInterval = time.Second

// measureRoundTrips looks at them until the server stops.
func (s *Server) measureRoundTrips() {
	tick := time.NewTicker(tripInterval)
	defer tick.Stop()
	for {
		for _, m := range s.others() {
			took, _ := s.member.RoundTrip(m.ID)
			s.trips.Observe(m.Name, uint64(m.ID), took)
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// sample reads the figures of this moment.
func (s *Server) sample() metrics.Sample {
	disk := s.member.LogStats()
	sample := metrics.Sample{
		Name:    s.cfg.Name,
		Version: s.cfg.Version,
		ID:      uint64(s.id()), EtcdVersion: etcd.Version, EtcdClusterVersion: strings.TrimSuffix(etcd.ClusterVersion, ".0"),
		Disk: metrics.Disk{
			LogBytes: disk.LogBytes, Segments: disk.Segments, LowSpace: disk.LowSpace,
		},
	}
	sample.Failed = s.requests.Failed(int(api.Reply_UNKNOWN), int(api.Reply_UNAVAILABLE)) +
		s.calls.Failed(codes.Unavailable, codes.DeadlineExceeded)
	sample.Healthy, sample.Unhealthy = s.healthy.Load(), s.unhealthy.Load()
	sample.OpenFiles, sample.MaxOpenFiles = machine.OpenDescriptors()
	sample.LogDropped, sample.LogWaiting = s.cfg.LogStats()
	s.port.Sample(&sample)
	if s.metrics != nil {
		sample.Surplus = append(sample.Surplus, metrics.Surplus{Of: "metrics", Count: s.metrics.Surplus()})
	}
	var known rsm.Status
	if n := s.node(); n != nil {
		known = n.Status()
		sample.Node = sampleNode(known)
		sample.Node.IsLearner = s.isLearner()
		if s.cfg.Witness {
			sample.Alarms = []metrics.Alarm{{Name: witnessFull, Raised: known.WitnessFull}}
		}
	}
	if r := s.running.Load(); r != nil {
		sample.Replica = sampleReplica(r)
		users, _ := r.State.Auth()
		sample.AuthRevision = users.Revision()
		sample.Replica.IndexLimit = max(s.cfg.MaxIndexBytes, 0)
		sample.Disk.SnapshotIndex, sample.Disk.SnapshotBytes = uint64(known.Snapshot.Index), sample.Replica.RunBytes
		sample.Alarms, sample.EtcdAlarms = sampleAlarms(r), s.etcdAlarms(r)
		s.sampleReads(&sample, r)
	}
	for _, m := range s.others() {
		sample.Peers = append(sample.Peers, s.samplePeer(m, known))
	}
	sample.TLS = s.sampleTLS()
	s.sampleCluster(&sample)
	return sample
}

// sampleReads adds what was read and watched. A Get of the native API is a range of one key.
func (s *Server) sampleReads(sample *metrics.Sample, r *replica.Replica) {
	executed := r.State.Figures()
	sample.Ranges, sample.Txns = s.asked.Reads()
	sample.Ranges += executed.Ranges + s.requests.Answered(int(api.Reply_OK), int(api.Request_GET), int(api.Request_RANGE))
	sample.Txns += executed.Txns
	sample.WatchStreams = s.calls.Open("/etcdserverpb.Watch/Watch")
	backlog := r.Watches.Hub.Backlog()
	sample.WatchersBehind, sample.EventsPending = backlog.Behind, backlog.Pending
	sample.Receiving = s.works.Running(string(state.WorkReceive))
}

// sampleNode reads the figures of a member's part in consensus.
func sampleNode(st rsm.Status) *metrics.Node {
	return &metrics.Node{
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
	}
}

// sampleReplica reads the figures of a member's store.
func sampleReplica(r *replica.Replica) *metrics.Replica {
	state := r.State.Figures()
	return &metrics.Replica{
		Keys:         int(state.Keys),
		StoreBytes:   state.Bytes,
		Revision:     state.Revision,
		Compacted:    state.Compacted,
		Versions:     state.Versions,
		IndexBytes:   state.IndexBytes,
		HistoryBytes: state.HistoryBytes,
		Runs:         state.Runs,
		RunBytes:     state.RunBytes,
		Leases:       state.Leases,
		Sessions:     state.Sessions,
		Puts:         state.Puts,
		Deletes:      state.Deletes,
		PutBytes:     state.PutBytes,
		Forgotten:    state.Forgotten,

		LeasesGranted: state.LeasesEver.Granted,
		LeasesRenewed: state.LeasesEver.Renewed,
		LeasesRevoked: state.LeasesEver.Revoked,
		LeasesExpired: state.LeasesEver.Expired,
		LeaseTTLs:     state.LeasesEver.TTLs.UpTo[:],
		LeaseSeconds:  state.LeasesEver.TTLs.Seconds,

		Quota:        state.Quota,
		AtQuota:      state.AtQuota(),
		RunsScrubbed: state.Scrubbed,
		RunsRepaired: state.Repaired,
		RunsDamaged:  state.Damaged,
	}
}

// samplePeer describes a member as the transport and, if it leads, the replica see it.
func (s *Server) samplePeer(m member.Info, known rsm.Status) metrics.Peer {
	p := metrics.Peer{Name: m.Name, ID: uint64(m.ID), Diverged: slices.Contains(known.Diverged, m.ID)}
	if seen, ok := s.member.Peer(m.ID); ok {
		p.Connected, p.Dropped, p.LastActive = seen.Connected, seen.Dropped, seen.LastActive
		p.BytesIn, p.BytesOut, p.Disconnected = seen.BytesIn, seen.BytesOut, seen.Disconnected
	}
	if i := slices.IndexFunc(known.Peers, func(k raft.PeerStatus) bool { return k.ID == m.ID }); i >= 0 {
		peer := known.Peers[i]
		p.MatchIndex, p.Lost = uint64(peer.Match), peer.State == "lost"
	}
	return p
}
