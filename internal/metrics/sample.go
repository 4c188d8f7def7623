package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sample is the figures of a member at one moment. Sizes are in bytes.
type Sample struct {
	Name, Version string
	// ID is the member's, EtcdVersion and EtcdClusterVersion what clients of etcd are told.
	ID                              uint64
	EtcdVersion, EtcdClusterVersion string

	// Time is that of the server's clock.
	Time time.Time
	// Members are how many the cluster has, as far as this one knows.
	Members []Members
	// Alarms are all kinds, raised or not; nil until the member takes part in the cluster.
	Alarms []Alarm
	// Connections are those that others have opened to this server.
	Connections []Connections

	// Node is nil until the member takes part in the cluster, and so is Replica, which a witness never has.
	Node    *Node
	Replica *Replica
	Disk    Disk
	Peers   []Peer
	// TLS has an element for each side that uses TLS.
	TLS []TLS

	// Requests in progress, and their bytes.
	Requests, RequestBytes int64

	// LogDropped is how many lines of the server's log had no room in the queue, and
	// LogWaiting how many are in it.
	LogDropped uint64
	LogWaiting int

	// Clients is how many connections there are, Streams how many streams on them, Watchers how
	// many watchers those have, and UnfinishedBytes how many bytes of incomplete messages have arrived.
	Clients, Streams, Watchers, UnfinishedBytes int64
	Surplus                                     []Surplus
	// ClientBytesIn and ClientBytesOut are what clients sent and received by gRPC.
	ClientBytesIn, ClientBytesOut uint64
	// OpenFiles and MaxOpenFiles are the descriptors of the process; 0 where that is not known.
	OpenFiles, MaxOpenFiles uint64
	// Healthy and Unhealthy are answers of /health.
	Healthy, Unhealthy uint64
	// Ranges and Txns are the ranges that were read, and the transactions of more than one operation.
	Ranges, Txns uint64
	// WatchStreams are those of etcd's API that are open.
	WatchStreams uint64
	// WatchersBehind are those that read the history, EventsPending what watchers are due from memory.
	WatchersBehind, EventsPending int
	// EtcdAlarms are those that clients of etcd are told of.
	EtcdAlarms []EtcdAlarm
	// Receiving is how many times the state of another member is being received.
	Receiving int64
	// AuthRevision is that of users and roles.
	AuthRevision uint64
	// Failed is how many requests failed for want of a leader, of an answer in time, or of an outcome.
	Failed uint64
}

// Members is how many members have a role: "voter", "learner" or "witness".
type Members struct {
	Role  string
	Count int
}

// Alarm is one kind of alarm.
type Alarm struct {
	Name   string
	Raised bool
}

// EtcdAlarm is an alarm of a member, by etcd's name.
type EtcdAlarm struct {
	Member uint64
	Name   string
}

// Connections are how many there are, and were, of one kind: "grpc", "http", "metrics" or "peer".
type Connections struct {
	Face string
	Open int64
	All  uint64
}

// Surplus is how often clients have exceeded a limit of the server.
type Surplus struct {
	Of    string // what is limited
	Count uint64
}

// Node is the member's part in consensus.
type Node struct {
	HasLeader, IsLeader       bool
	IsLearner                 bool // and not about to vote
	LeaderChanges             uint64
	Term                      uint64
	CommitIndex, AppliedIndex uint64
	LastIndex                 uint64
	LogBytes                  int64 // of the entries in memory
	PendingWrites             int
	DiskWait                  time.Duration // of the call under way
	Alarm                     bool          // the replicas' states differ, and no majority agrees
}

// Replica is the member's store.
type Replica struct {
	Keys                    int
	StoreBytes              int64
	Revision, Compacted     uint64
	Versions                int64 // older ones, that can still be read
	IndexBytes              int64 // of memory
	IndexLimit              int64 // 0: none
	HistoryBytes            int64 // of all versions
	Runs                    int   // files of the history
	RunBytes                int64 // of these files
	Leases, Sessions        int
	Puts, Deletes, PutBytes uint64 // executed
	Forgotten               uint64 // versions that left the index after compactions
	// What became of leases, sessions included.
	LeasesGranted, LeasesRenewed, LeasesRevoked, LeasesExpired uint64
	// LeaseTTLs are how many were granted with a time to live of at most 1, 2, 4 and so on seconds, and with a longer
	// one; LeaseSeconds is the sum.
	LeaseTTLs                  []uint64
	LeaseSeconds               float64
	Quota                      int64 // 0: none
	AtQuota                    bool
	RunsScrubbed, RunsRepaired uint64
	RunsDamaged                int
}

// Disk is the content of the data directory.
type Disk struct {
	LogBytes      int64
	Segments      int
	SnapshotIndex uint64
	SnapshotBytes int64
	LowSpace      bool
	// Available is how many bytes may still be written; AvailableKnown tells whether that is known.
	Available      uint64
	AvailableKnown bool
	Limits         []SpaceLimit
}

// SpaceLimit is below how many available bytes something is refused: "data", "everything".
type SpaceLimit struct {
	Refuses string
	Bytes   uint64
}

// Peer is another member, as this one sees it.
type Peer struct {
	Name              string
	ID                uint64
	Connected         bool
	BytesIn, BytesOut uint64
	Dropped           uint64
	Disconnected      uint64    // how often the connection to it was lost
	LastActive        time.Time // zero if never
	// MatchIndex is the index up to which the peer's log is known to be durable and equal to
	// the leader's; 0 unless this member leads.
	MatchIndex uint64
	// Lost: this member leads, and the peer has lost entries that it had acknowledged.
	Lost bool
	// Diverged: the peer's state differs from that of a majority.
	Diverged bool
}

// TLS is the certificates of one side of a member: "client" or "peer".
type TLS struct {
	Side string
	// Expires is when the first certificate of its own chain expires, AuthoritiesExpire
	// the first of those that it trusts; zero if none does.
	Expires, AuthoritiesExpire time.Time
	Stale                      bool // the files are not the ones in use
	Refused                    uint64
}

// figure is one metric of a Sample, or of a part of it.
type figure[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64
}

func gauge[T any, N number](name, help string, value func(*T) N, labels ...string) figure[T] {
	return figure[T]{
		desc:  prometheus.NewDesc("balsa_"+name, help, labels, nil),
		kind:  prometheus.GaugeValue,
		value: func(t *T) float64 { return float64(value(t)) },
	}
}

// counter is a gauge that only ever grows while the process runs.
func counter[T any, N number](name, help string, value func(*T) N, labels ...string) figure[T] {
	f := gauge(name, help, value, labels...)
	f.kind = prometheus.CounterValue
	return f
}

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

func yes(b bool) int {
	if b {
		return 1
	}
	return 0
}

var memberFigures = []figure[Sample]{
	gauge("server_admitted", "1 if this member takes part in the cluster, 0 while its cluster has not begun.",
		func(s *Sample) int { return yes(s.Node != nil) }),
	gauge("server_has_leader", "1 if this member leads or knows the leader.",
		func(s *Sample) int { return yes(s.node().HasLeader) }),
	gauge("server_is_leader", "1 if this member leads.",
		func(s *Sample) int { return yes(s.node().IsLeader) }),
	gauge("server_time_seconds", "The server's clock, in Unix time.", func(s *Sample) float64 { return unixSeconds(s.Time) }),
	gauge("server_requests_in_progress", "Requests of clients whose replies have not been handed to the network.",
		func(s *Sample) int64 { return s.Requests }),
	gauge("server_requests_in_progress_bytes", "Bytes of these requests, and of their replies.",
		func(s *Sample) int64 { return s.RequestBytes }),
	gauge("server_client_connections", "Connections of clients.", func(s *Sample) int64 { return s.Clients }),
	gauge("server_client_streams", "Streams on these connections.", func(s *Sample) int64 { return s.Streams }),
	gauge("server_watchers", "Watchers of clients.", func(s *Sample) int64 { return s.Watchers }),
	gauge("server_unfinished_bytes", "Bytes of incomplete messages of clients that have arrived.",
		func(s *Sample) int64 { return s.UnfinishedBytes }),

	counter("log_dropped_lines_total", "Lines of the server's log that were dropped: its reader has ended or is too slow.",
		func(s *Sample) uint64 { return s.LogDropped }),
	gauge("log_waiting_lines", "Lines of the server's log that wait to be written.",
		func(s *Sample) int { return s.LogWaiting }),

	gauge("wal_bytes", "Size of the log on disk.", func(s *Sample) int64 { return s.Disk.LogBytes }),
	gauge("wal_segments", "Files of the log on disk.", func(s *Sample) int { return s.Disk.Segments }),
	gauge("wal_low_space", "1 while the disk has no space for more log: writes are refused.",
		func(s *Sample) int { return yes(s.Disk.LowSpace) }),
	gauge("snapshot_index", "Index of the last log entry that the newest checkpoint on disk holds.",
		func(s *Sample) uint64 { return s.Disk.SnapshotIndex }),
	gauge("snapshot_bytes", "Size of the history on disk.", func(s *Sample) int64 { return s.Disk.SnapshotBytes }),
}

var nodeFigures = []figure[Node]{
	counter("server_leader_changes_total", "Leaders found since the process started, this member included.",
		func(n *Node) uint64 { return n.LeaderChanges }),
	gauge("server_term", "Term of this member.", func(n *Node) uint64 { return n.Term }),
	gauge("server_commit_index", "Index of the last entry that this member knows to be committed.",
		func(n *Node) uint64 { return n.CommitIndex }),
	gauge("server_applied_index", "Index of the last entry that the store reflects.",
		func(n *Node) uint64 { return n.AppliedIndex }),
	gauge("server_last_index", "Index of the last entry of the log.", func(n *Node) uint64 { return n.LastIndex }),
	gauge("server_log_bytes", "Size of the log in memory, which makes a checkpoint due.",
		func(n *Node) int64 { return n.LogBytes }),
	gauge("wal_wait_seconds", "How long the present write or sync of the log has taken so far: it grows while the disk hangs.",
		func(n *Node) float64 { return n.DiskWait.Seconds() }),
	gauge("server_state_alarm", "1 if the states of the replicas differ and no majority agrees, so that writes are refused, else 0.",
		func(n *Node) int { return yes(n.Alarm) }),
	gauge("server_pending_writes", "Writes whose outcome is not known yet.", func(n *Node) int { return n.PendingWrites }),
}

var replicaFigures = []figure[Replica]{
	gauge("store_keys", "Keys in the store.", func(r *Replica) int { return r.Keys }),
	gauge("store_bytes", "Size of the keys and values in the store.", func(r *Replica) int64 { return r.StoreBytes }),
	counter("store_scrubbed_runs_total", "Files of the history that were read and checked.",
		func(r *Replica) uint64 { return r.RunsScrubbed }),
	counter("store_repaired_runs_total", "Damaged files of the history that were repaired.",
		func(r *Replica) uint64 { return r.RunsRepaired }),
	gauge("store_damaged_runs", "Damaged files of the history that could not be repaired yet.", func(r *Replica) int { return r.RunsDamaged }),
	gauge("store_revision", "Revision of the store: it grows by one with each change.", func(r *Replica) uint64 { return r.Revision }),
	gauge("store_compacted_revision", "First revision that can be read; 0 if there was no compaction.",
		func(r *Replica) uint64 { return r.Compacted }),
	gauge("store_old_versions", "Older versions of keys that can still be read.", func(r *Replica) int64 { return r.Versions }),
	gauge("store_index_bytes", "Memory of the index of the keys.", func(r *Replica) int64 { return r.IndexBytes }),
	gauge("store_index_limit_bytes", "Memory that the index may take; 0: there is no limit.", func(r *Replica) int64 { return r.IndexLimit }),
	gauge("store_history_bytes", "Size of all versions of all keys.", func(r *Replica) int64 { return r.HistoryBytes }),
	gauge("store_runs", "Files of the history.", func(r *Replica) int { return r.Runs }),
	gauge("store_run_bytes", "Size of these files.", func(r *Replica) int64 { return r.RunBytes }),
	gauge("store_quota_bytes", "Size that the store may have; 0: there is no quota.", func(r *Replica) int64 { return r.Quota }),
	gauge("store_at_quota", "1 while the store is at its quota, so that puts may be refused, else 0.",
		func(r *Replica) int { return yes(r.AtQuota) }),
	gauge("lease_leases", "Leases, sessions included.", func(r *Replica) int { return r.Leases }),
	gauge("lease_sessions", "Leases that are sessions.", func(r *Replica) int { return r.Sessions }),
}

var peerFigures = []figure[Peer]{
	gauge("peer_connected", "1 if messages can be sent to the peer.",
		func(p *Peer) int { return yes(p.Connected) }, "peer"),
	gauge("peer_last_active_timestamp_seconds", "When a message of the peer last arrived, in Unix time; 0 if never.",
		lastActive, "peer"),
	counter("peer_received_bytes_total", "Messages and snapshots received from the peer.",
		func(p *Peer) uint64 { return p.BytesIn }, "peer"),
	counter("peer_sent_bytes_total", "Messages and snapshots sent to the peer.",
		func(p *Peer) uint64 { return p.BytesOut }, "peer"),
	counter("peer_dropped_messages_total", "Messages to the peer that were not sent: there was no connection, or its queue was full.",
		func(p *Peer) uint64 { return p.Dropped }, "peer"),
	gauge("peer_match_index", "Index up to which the peer's log is known to equal this leader's; 0 unless this member leads.",
		func(p *Peer) uint64 { return p.MatchIndex }, "peer"),
	gauge("peer_lost", "1 if this member leads and the peer has lost entries that it had acknowledged, so that it is shut out, else 0.",
		func(p *Peer) int { return yes(p.Lost) }, "peer"),
	gauge("peer_diverged", "1 if the peer's state differs from that of a majority, else 0.",
		func(p *Peer) int { return yes(p.Diverged) }, "peer"),
}

var spaceFigures = []figure[Sample]{
	gauge("disk_available_bytes", "Bytes that may still be written to the file system of the data directory.",
		func(s *Sample) uint64 { return s.Disk.Available }),
}

var spaceLimitFigures = []figure[SpaceLimit]{
	gauge("disk_limit_bytes", "Available bytes below which the leader refuses writes: those that add data, or everything.",
		func(l *SpaceLimit) uint64 { return l.Bytes }, "refuses"),
}

var membersFigures = []figure[Members]{
	gauge("server_members", "Members of the cluster by their role, as far as this one knows.",
		func(m *Members) int { return m.Count }, "role"),
}

var alarmFigures = []figure[Alarm]{
	gauge("server_alarm", "1 while the alarm is raised, as far as this member knows, else 0.",
		func(a *Alarm) int { return yes(a.Raised) }, "alarm"),
}

var connectionsFigures = []figure[Connections]{
	gauge("connections", "Connections that others have opened to this server, by what they speak.",
		func(c *Connections) int64 { return c.Open }, "face"),
	counter("connections_opened_total", "Connections of others, in all.",
		func(c *Connections) uint64 { return c.All }, "face"),
}

var surplusFigures = []figure[Surplus]{
	counter("server_surplus_total", "How often something of a client was refused or closed because a limit was exceeded, by what is limited.",
		func(s *Surplus) uint64 { return s.Count }, "of"),
}

func lastActive(p *Peer) float64 { return unixSeconds(p.LastActive) }

var tlsFigures = []figure[TLS]{
	gauge("tls_certificate_expiry_timestamp_seconds", "When the first of the side's own certificates expires, in Unix time; 0 if none does.",
		func(t *TLS) float64 { return unixSeconds(t.Expires) }, "side"),
	gauge("tls_authority_expiry_timestamp_seconds", "When the first of the authorities that the side trusts expires, in Unix time; 0 if none does.",
		func(t *TLS) float64 { return unixSeconds(t.AuthoritiesExpire) }, "side"),
	gauge("tls_files_stale", "1 while the side's TLS files do not fit together or cannot be read, so that the last good ones are in use.",
		func(t *TLS) int { return yes(t.Stale) }, "side"),
	counter("tls_refused_connections_total", "Connections that failed in the TLS handshake, or whose certificate was not admitted.",
		func(t *TLS) uint64 { return t.Refused }, "side"),
}

// unixSeconds is 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

var info = prometheus.NewDesc("balsa_server_info", "Always 1; the labels are the name and version of this member.", []string{"name", "version"}, nil)

// sampler is a prometheus.Collector that takes a Sample at each scrape.
type sampler func() Sample

// Describe implements prometheus.Collector.
func (s sampler) Describe(ch chan<- *prometheus.Desc) {
	ch <- info
	describe(ch, memberFigures)
	describe(ch, nodeFigures)
	describe(ch, replicaFigures)
	describe(ch, peerFigures)
	describe(ch, tlsFigures)
	describe(ch, surplusFigures)
	describe(ch, spaceFigures)
	describe(ch, spaceLimitFigures)
	describe(ch, membersFigures)
	describe(ch, alarmFigures)
	describe(ch, connectionsFigures)
	describeEtcd(ch)
}

func describe[T any](ch chan<- *prometheus.Desc, figures []figure[T]) {
	for _, f := range figures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (s sampler) Collect(ch chan<- prometheus.Metric) {
	sample := s()
	ch <- prometheus.MustNewConstMetric(info, prometheus.GaugeValue, 1, sample.Name, sample.Version)
	collect(ch, memberFigures, &sample)
	if sample.Node != nil {
		collect(ch, nodeFigures, sample.Node)
	}
	if sample.Replica != nil {
		collect(ch, replicaFigures, sample.Replica)
	}
	if sample.Disk.AvailableKnown {
		collect(ch, spaceFigures, &sample)
	}
	for _, l := range sample.Disk.Limits {
		collect(ch, spaceLimitFigures, &l, l.Refuses)
	}
	for _, m := range sample.Members {
		collect(ch, membersFigures, &m, m.Role)
	}
	for _, a := range sample.Alarms {
		collect(ch, alarmFigures, &a, a.Name)
	}
	for _, c := range sample.Connections {
		collect(ch, connectionsFigures, &c, c.Face)
	}
	for _, p := range sample.Peers {
		collect(ch, peerFigures, &p, p.Name)
	}
	for _, t := range sample.TLS {
		collect(ch, tlsFigures, &t, t.Side)
	}
	for _, of := range sample.Surplus {
		collect(ch, surplusFigures, &of, of.Of)
	}
	collectEtcd(ch, &sample)
}

func collect[T any](ch chan<- prometheus.Metric, figures []figure[T], from *T, labels ...string) {
	for _, f := range figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(from), labels...)
	}
}
