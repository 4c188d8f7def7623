package metrics

import (
	"math"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// The names by which the dashboards and alerts that etcd publishes ask (contrib/mixin), besides
// balsa's own. What etcd has and balsa has not is what comes nearest: see docs/metrics.md.

func etcdFigure[T any, N number](kind prometheus.ValueType, name, help string, value func(*T) N, labels ...string) figure[T] {
	return figure[T]{
		desc: prometheus.NewDesc("etcd_"+name, help, labels, nil), kind: kind,
		value: func(t *T) float64 { return float64(value(t)) },
	}
}

func etcdGauge[T any, N number](name, help string, value func(*T) N, labels ...string) figure[T] {
	return etcdFigure(prometheus.GaugeValue, name, help, value, labels...)
}

func etcdCounter[T any, N number](name, help string, value func(*T) N, labels ...string) figure[T] {
	return etcdFigure(prometheus.CounterValue, name, help, value, labels...)
}

var etcdMemberFigures = []figure[Sample]{
	etcdGauge("server_has_leader", "1 if this member leads or knows the leader.",
		func(s *Sample) int { return yes(s.node().HasLeader) }),
	etcdGauge("server_is_leader", "1 if this member leads.",
		func(s *Sample) int { return yes(s.node().IsLeader) }),
	etcdGauge("server_is_learner", "1 if this member is a learner, and not about to vote.",
		func(s *Sample) int { return yes(s.node().IsLearner) }),
	etcdCounter("server_leader_changes_seen_total", "Leaders found since the process started.",
		func(s *Sample) uint64 { return s.node().LeaderChanges }),
	etcdGauge("server_proposals_committed_total", "Index of the last entry that this member knows to be committed.",
		func(s *Sample) uint64 { return s.node().CommitIndex }),
	etcdGauge("server_proposals_applied_total", "Index of the last entry that the store reflects.",
		func(s *Sample) uint64 { return s.node().AppliedIndex }),
	etcdGauge("server_proposals_pending", "Writes whose outcome is not known yet.",
		func(s *Sample) int { return s.node().PendingWrites }),
	etcdCounter("server_proposals_failed_total", "Requests of clients that failed for want of a leader, of an answer in time, or of an outcome.",
		func(s *Sample) uint64 { return s.Failed }),
	etcdCounter("server_heartbeat_send_failures_total", "Messages to other members that were not sent, of all of them.",
		func(s *Sample) (n uint64) {
			for _, p := range s.Peers {
				n += p.Dropped
			}
			return n
		}),
	etcdGauge("server_quota_backend_bytes", "Size that the store may have; the largest number if there is no quota.",
		func(s *Sample) int64 {
			if q := s.replica().Quota; q > 0 {
				return q
			}
			return math.MaxInt64
		}),
	etcdGauge("mvcc_db_total_size_in_bytes", "Size of the history: in its files, or of all versions where that is more; 1 if there is none.",
		func(s *Sample) int64 { return max(s.replica().RunBytes, s.replica().HistoryBytes, 1) }),
	etcdGauge("mvcc_db_total_size_in_use_in_bytes", "Size of all versions of all keys; 1 if there is none.",
		func(s *Sample) int64 { return max(s.replica().HistoryBytes, 1) }), // rules divide by it
	etcdGauge("debugging_mvcc_keys_total", "Keys in the store.", func(s *Sample) int { return s.replica().Keys }),
	etcdGauge("debugging_mvcc_current_revision", "Revision of the store.", func(s *Sample) uint64 { return s.replica().Revision }),
	etcdGauge("debugging_mvcc_compact_revision", "First revision that can be read.", func(s *Sample) uint64 { return s.replica().Compacted }),
	etcdGauge("debugging_mvcc_watcher_total", "Watchers of clients.", func(s *Sample) int64 { return s.Watchers }),
	etcdCounter("mvcc_put_total", "Puts that this member has executed, those in transactions included.",
		func(s *Sample) uint64 { return s.replica().Puts }),
	etcdCounter("mvcc_delete_total", "Deletes that this member has executed, those in transactions included. A lease that ends is one for each of its keys.",
		func(s *Sample) uint64 { return s.replica().Deletes }),
	etcdGauge("debugging_mvcc_total_put_size_in_bytes", "Size of the keys and values that were put.",
		func(s *Sample) uint64 { return s.replica().PutBytes }),
	etcdCounter("debugging_mvcc_db_compaction_keys_total", "Versions of keys that this member has taken out of its index after compactions.",
		func(s *Sample) uint64 { return s.replica().Forgotten }),
	etcdCounter("mvcc_range_total", "Ranges that this member has read, for either API, those in transactions included.",
		func(s *Sample) uint64 { return s.Ranges }),
	etcdCounter("mvcc_txn_total", "Transactions that this member has executed with more than one operation.",
		func(s *Sample) uint64 { return s.Txns }),
	etcdGauge("debugging_mvcc_watch_stream_total", "Open streams of watchers, of etcd's API.", func(s *Sample) uint64 { return s.WatchStreams }),
	etcdGauge("debugging_mvcc_slow_watcher_total", "Watchers of either API that are behind, so that they read the history.", func(s *Sample) int { return s.WatchersBehind }),
	etcdGauge("debugging_mvcc_pending_events_total", "What is in memory for watchers of either API: events that are not matched yet, and revisions with events that a watcher has not read, for each watcher.",
		func(s *Sample) int { return s.EventsPending }),
	etcdGauge("server_snapshot_apply_in_progress_total", "1 while the state of another member is received.", func(s *Sample) int64 { return s.Receiving }),
	etcdCounter("debugging_lease_granted_total", "Leases that were granted, sessions included.",
		func(s *Sample) uint64 { return s.replica().LeasesGranted }),
	etcdCounter("debugging_lease_renewed_total", "Keep-alives of leases. All members count them, where in etcd the leader does.",
		func(s *Sample) uint64 { return s.replica().LeasesRenewed }),
	etcdCounter("debugging_lease_revoked_total", "Leases that were revoked or have expired.",
		func(s *Sample) uint64 { return s.replica().LeasesRevoked + s.replica().LeasesExpired }),
	etcdCounter("debugging_server_lease_expired_total", "Leases that have expired.",
		func(s *Sample) uint64 { return s.replica().LeasesExpired }),
	etcdCounter("server_health_success", "Answers of /health that all is well.", func(s *Sample) uint64 { return s.Healthy }),
	etcdCounter("server_health_failures", "Answers of /health that something is wrong.", func(s *Sample) uint64 { return s.Unhealthy }),
	etcdGauge("debugging_auth_revision", "Revision of the users and roles.", func(s *Sample) uint64 { return s.AuthRevision }),
	etcdCounter("network_client_grpc_received_bytes_total", "Bytes received from clients by gRPC.",
		func(s *Sample) uint64 { return s.ClientBytesIn }),
	etcdCounter("network_client_grpc_sent_bytes_total", "Bytes sent to clients by gRPC.",
		func(s *Sample) uint64 { return s.ClientBytesOut }),
}

var etcdReceived = etcdCounter("network_peer_received_bytes_total", "Bytes received from the peer.",
	func(p *Peer) uint64 { return p.BytesIn }, "From")

var etcdPeerFigures = []figure[Peer]{
	etcdCounter("network_peer_sent_bytes_total", "Bytes sent to the peer.",
		func(p *Peer) uint64 { return p.BytesOut }, "To"),
	etcdCounter("network_peer_sent_failures_total", "Messages to the peer that were not sent.",
		func(p *Peer) uint64 { return p.Dropped }, "To"),
}

// What etcd tells of itself are labels of series that are always 1.
var (
	etcdVersion        = etcdGauge("server_version", "1, for the version of etcd whose API this is.", always, "server_version")
	etcdClusterVersion = etcdGauge("cluster_version", "1, for the version of the cluster, as etcd counts it.", always, "cluster_version")
	etcdGoVersion      = etcdGauge("server_go_version", "1, for the version of Go that the server was built with.", always, "server_go_version")
	etcdKnownPeers     = etcdGauge("network_known_peers", "1, for each member that is known, by ids in hexadecimal.", always, "Local", "Remote")
	etcdActivePeers    = etcdGauge("network_active_peers", "1 if messages can be sent to the peer, by ids in hexadecimal.", func(p *Peer) int { return yes(p.Connected) }, "Local", "Remote")
	etcdDisconnected   = etcdCounter("network_disconnected_peers_total", "How often the connection to the peer was lost, by ids in hexadecimal.", func(p *Peer) uint64 { return p.Disconnected }, "Local", "Remote")
	etcdAlarms         = etcdGauge("debugging_server_alarms", "1 for each alarm that is raised, by the id of its member in hexadecimal.", func(*EtcdAlarm) int { return 1 }, "server_id", "alarm_type")
	etcdServerID       = etcdGauge("server_id", "1, for the member's id in hexadecimal.", always, "server_id")
)

// filesFigures are the descriptors of the process, by the names that etcd has for them.
var filesFigures = []figure[Sample]{
	{
		desc: prometheus.NewDesc("os_fd_used", "Descriptors that the process has open.", nil, nil), kind: prometheus.GaugeValue,
		value: func(s *Sample) float64 { return float64(s.OpenFiles) },
	},
	{
		desc: prometheus.NewDesc("os_fd_limit", "Descriptors that the process may have.", nil, nil), kind: prometheus.GaugeValue,
		value: func(s *Sample) float64 { return float64(s.MaxOpenFiles) },
	},
}

var etcdFeature = etcdGauge("server_feature_enabled", "1 if what a gate of etcd switches on is so here, whatever --feature-gates says.",
	func(on *int) int { return *on }, "name", "stage")

// etcdFeatures are the gates of etcd 3.7, and whether what they switch on is so: states are compared all the time, and
// what is left of a lease is in the log.
var etcdFeatures = []struct {
	name, stage string
	on          int
}{
	{"AllAlpha", "ALPHA", 0},
	{"AllBeta", "BETA", 0},
	{"CompactHashCheck", "ALPHA", 1},
	{"FastLeaseKeepAlive", "BETA", 0}, // a keep-alive waits for the log
	{"InitialCorruptCheck", "ALPHA", 1},
	{"LeaseCheckpoint", "ALPHA", 1},
	{"LeaseCheckpointPersist", "ALPHA", 1},
	{"PriorityRequest", "ALPHA", 0},
	{"SetMemberLocalAddr", "ALPHA", 0},
	{"StopGRPCServiceOnDefrag", "ALPHA", 0}, // there is nothing to defragment
	{"TxnModeWriteWithSharedBuffer", "BETA", 0},
}

var etcdLeaseTTLs = prometheus.NewDesc("etcd_debugging_lease_ttl_total", "Times to live of the leases that were granted, sessions included, in seconds.", nil, nil)

// leaseTTLs is the histogram of them.
func (s *Sample) leaseTTLs() prometheus.Metric {
	of, count, upTo := s.replica(), uint64(0), map[float64]uint64{}
	for i, n := range of.LeaseTTLs {
		if count += n; i < len(of.LeaseTTLs)-1 {
			upTo[math.Ldexp(1, i)] = count
		}
	}
	return prometheus.MustNewConstHistogram(etcdLeaseTTLs, count, of.LeaseSeconds, upTo)
}

func always(*Sample) int { return 1 }

// node is the member's part in consensus, zeros before it has one: etcd's counters are there from the
// beginning, too.
func (s *Sample) node() *Node {
	if s.Node == nil {
		return new(Node)
	}
	return s.Node
}

// replica is the member's store, zeros where there is none.
func (s *Sample) replica() *Replica {
	if s.Replica == nil {
		return new(Replica)
	}
	return s.Replica
}

// etcdID is an id as etcd writes it.
func etcdID(id uint64) string { return strconv.FormatUint(id, 16) }

// collectEtcd adds the figures of a sample by etcd's names.
func collectEtcd(ch chan<- prometheus.Metric, s *Sample) {
	collect(ch, etcdMemberFigures, s)
	ch <- s.leaseTTLs()
	for _, f := range etcdFeatures {
		collect(ch, []figure[int]{etcdFeature}, &f.on, f.name, f.stage)
	}
	collect(ch, []figure[Sample]{etcdVersion}, s, s.EtcdVersion)
	collect(ch, []figure[Sample]{etcdClusterVersion}, s, s.EtcdClusterVersion)
	collect(ch, []figure[Sample]{etcdServerID}, s, etcdID(s.ID))
	collect(ch, []figure[Sample]{etcdGoVersion}, s, runtime.Version())
	collect(ch, []figure[Sample]{etcdKnownPeers}, s, etcdID(s.ID), etcdID(s.ID))
	if s.MaxOpenFiles > 0 {
		collect(ch, filesFigures, s)
	}
	for _, a := range s.EtcdAlarms {
		collect(ch, []figure[EtcdAlarm]{etcdAlarms}, &a, etcdID(a.Member), a.Name)
	}
	for _, p := range s.Peers {
		collect(ch, []figure[Sample]{etcdKnownPeers}, s, etcdID(s.ID), etcdID(p.ID))
		collect(ch, []figure[Peer]{etcdActivePeers, etcdDisconnected}, &p, etcdID(s.ID), etcdID(p.ID))
		collect(ch, etcdPeerFigures, &p, etcdID(p.ID))
		collect(ch, []figure[Peer]{etcdReceived}, &p, etcdID(p.ID))
	}
}

func describeEtcd(ch chan<- *prometheus.Desc) {
	describe(ch, etcdMemberFigures)
	ch <- etcdLeaseTTLs
	ch <- etcdFeature.desc
	describe(ch, []figure[Sample]{etcdVersion, etcdClusterVersion, etcdServerID, etcdGoVersion, etcdKnownPeers})
	describe(ch, filesFigures)
	describe(ch, etcdPeerFigures)
	ch <- etcdReceived.desc
	ch <- etcdActivePeers.desc
	ch <- etcdDisconnected.desc
	ch <- etcdAlarms.desc
}

// etcdBuckets are those of etcd's histograms of durations, in seconds.
func etcdBuckets(n int) []float64 { return prometheus.ExponentialBuckets(0.001, 2, n) }
