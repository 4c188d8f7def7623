package metrics

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EtcdRequests counts and times requests of etcd's API, by the names that etcd has for that. It is a
// prometheus.Collector. Any goroutine may use it, and nil counts nothing.
type EtcdRequests struct {
	types  map[string]*outcomes // by etcd's names; not changed any more
	ranges outcomes
	reads  struct{ ranges, txns, slow, failed atomic.Uint64 }

	hashes [2]prometheus.Histogram // Hash, and HashKV

	events      atomic.Uint64
	promoted    atomic.Uint64
	notPromoted *prometheus.CounterVec

	mu      sync.Mutex
	clients map[string]*EtcdClient
}

// outcomes are the times of what failed, and of what did not.
type outcomes [2]requestTimes

// firstRequestBound and requestBounds are etcd's for requests.
const firstRequestBound = time.Millisecond

var requestBounds = etcdBuckets(14)

var (
	etcdRequestDuration = prometheus.NewDesc("etcd_server_request_duration_seconds",
		"How long requests of etcd's API took from their arrival to their answer.", []string{"type", "success"}, nil)
	etcdRangeDuration = prometheus.NewDesc("etcd_server_range_duration_seconds",
		"How long ranges of etcd's API took to be read, without the wait for the cluster.", []string{"success"}, nil)
	etcdSlowReads = prometheus.NewDesc("etcd_server_slow_read_indexes_total",
		"Reads of etcd's API that got no answer of the cluster in time.", nil, nil)
	etcdFailedReads = prometheus.NewDesc("etcd_server_read_indexes_failed_total",
		"Reads of etcd's API for which the cluster could not be asked.", nil, nil)
	etcdEvents = prometheus.NewDesc("etcd_debugging_mvcc_events_total",
		"Events that were sent to watchers of etcd's API, one for each watcher.", nil, nil)
	etcdPromoted = prometheus.NewDesc("etcd_server_learner_promote_successes",
		"Learners that were promoted by way of this member, through either API.", nil, nil)
	etcdClientRequests = prometheus.NewDesc("etcd_server_client_requests_total",
		"Requests of etcd's API, by the version that the client says it has.", []string{"type", "client_api_version"}, nil)
)

// NewEtcdRequests returns an EtcdRequests for methods, by their names as gRPC says them.
func NewEtcdRequests(methods []string) *EtcdRequests {
	r := &EtcdRequests{
		types: map[string]*outcomes{etcdReadTxn: {}}, clients: map[string]*EtcdClient{},
		notPromoted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "etcd_server_learner_promote_failures", Help: "Promotions of learners that failed at this member, through either API, by the reason.",
		}, []string{"Reason"}),
	}
	for i, name := range []string{"etcd_mvcc_hash_duration_seconds", "etcd_mvcc_hash_rev_duration_seconds"} {
		r.hashes[i] = prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: "How long it took to answer " + []string{"Hash", "HashKV"}[i] + " of etcd's API.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 15),
		})
	}
	for _, m := range methods {
		if t := EtcdRequestType(m); t != "" {
			r.types[t] = new(outcomes)
		}
	}
	return r
}

const (
	etcdTxn     = "Txn"
	etcdReadTxn = "ReadonlyTxn"
)

// EtcdRequestType is what etcd calls the requests of a method when it times them; empty: it does not.
func EtcdRequestType(method string) string {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/etcdserverpb."), "/")
	switch {
	case name == "Compact":
		return "Compaction"
	case service == "KV" && name != "RangeStream", name == "LeaseGrant", name == "LeaseRevoke", name == "Alarm":
		return name
	case service == "Auth" && !strings.HasPrefix(name, "Auth"):
		return "Auth" + name
	case service == "Auth":
		return name
	}
	return ""
}

// Took counts a request of a type that EtcdRequestType has named. wrote tells whether it went through the log.
func (r *EtcdRequests) Took(kind string, wrote, ok bool, took time.Duration) {
	if r == nil || kind == "" {
		return
	}
	if kind == etcdTxn && !wrote {
		kind = etcdReadTxn
	}
	if o := r.types[kind]; o != nil {
		o[yes(ok)].addTo(bucketOf(took, firstRequestBound), took)
	}
}

// Range counts a range that began then, and was read now.
func (r *EtcdRequests) Range(then time.Duration, ok bool) {
	if r != nil {
		r.ranges[yes(ok)].add(Now() - then)
	}
}

// ReadTxn counts a transaction that read some ranges, and wrote nothing.
func (r *EtcdRequests) ReadTxn(ranges int) {
	if r == nil || ranges == 0 {
		return
	}
	r.reads.ranges.Add(uint64(ranges))
	if ranges > 1 {
		r.reads.txns.Add(1)
	}
}

// ReadFailed counts a read for which the cluster gave no answer: late, or not at all.
func (r *EtcdRequests) ReadFailed(late bool) {
	switch {
	case r == nil:
	case late:
		r.reads.slow.Add(1)
	default:
		r.reads.failed.Add(1)
	}
}

// Reads are how many ranges were read outside of the log, and transactions of more than one.
func (r *EtcdRequests) Reads() (ranges, txns uint64) {
	ranges = r.reads.ranges.Load()
	for i := range r.ranges {
		ranges += r.ranges[i].count()
	}
	return ranges, r.reads.txns.Load()
}

// ReadsFailed are how many got no answer of the cluster in time, and how many none at all.
func (r *EtcdRequests) ReadsFailed() (late, failed uint64) {
	return r.reads.slow.Load(), r.reads.failed.Load()
}

// Hashed counts a hash that a client has asked for, of keys at a revision or of all state, and that has taken so long.
func (r *EtcdRequests) Hashed(revision bool, took time.Duration) {
	if r != nil {
		r.hashes[yes(revision)].Observe(took.Seconds())
	}
}

// Told counts events that were sent, each to so many watchers.
func (r *EtcdRequests) Told(events, watchers int) {
	if r != nil && events > 0 {
		r.events.Add(uint64(events) * uint64(watchers))
	}
}

// Promoted counts a promotion of a learner. reason is why it failed, one of few texts; empty: it did not.
func (r *EtcdRequests) Promoted(reason string) {
	if reason == "" {
		r.promoted.Add(1)
	} else {
		r.notPromoted.WithLabelValues(reason).Inc()
	}
}

// EtcdClient counts the requests of clients of one version. nil counts nothing.
type EtcdClient struct{ unary, streams atomic.Uint64 }

// maxClientVersions bounds the versions that are told apart, and maxClientVersion their length in bytes: clients say
// what they like.
const (
	maxClientVersions = 32
	maxClientVersion  = 32
)

// Client returns what counts the requests of clients that say they have a version; empty: they say nothing.
func (r *EtcdRequests) Client(version string) *EtcdClient {
	if r == nil {
		return nil
	}
	if version == "" {
		version = "unknown"
	}
	if len(version) > maxClientVersion {
		version = "other"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[version] == nil && len(r.clients) >= maxClientVersions {
		version = "other"
	}
	c := r.clients[version]
	if c == nil {
		c = new(EtcdClient)
		r.clients[version] = c
	}
	return c
}

// Unary counts a unary request.
func (c *EtcdClient) Unary() {
	if c != nil {
		c.unary.Add(1)
	}
}

// Stream counts a stream.
func (c *EtcdClient) Stream() {
	if c != nil {
		c.streams.Add(1)
	}
}

// Describe implements prometheus.Collector.
func (r *EtcdRequests) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{etcdRequestDuration, etcdRangeDuration, etcdSlowReads, etcdFailedReads, etcdEvents, etcdPromoted, etcdClientRequests} {
		ch <- d
	}
	r.notPromoted.Describe(ch)
	r.hashes[0].Describe(ch)
	r.hashes[1].Describe(ch)
}

// Collect implements prometheus.Collector. As in etcd, what was not asked for is not shown.
func (r *EtcdRequests) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	late, failed := r.ReadsFailed()
	counter(etcdSlowReads, late)
	counter(etcdFailedReads, failed)
	counter(etcdEvents, r.events.Load())
	counter(etcdPromoted, r.promoted.Load())
	r.notPromoted.Collect(ch)
	r.hashes[0].Collect(ch)
	r.hashes[1].Collect(ch)
	for ok, success := range []string{strconv.FormatBool(false), strconv.FormatBool(true)} {
		for kind, o := range r.types {
			if m, some := o[ok].metricOfSome(etcdRequestDuration, requestBounds, kind, success); some {
				ch <- m
			}
		}
		if m, some := r.ranges[ok].metricOfSome(etcdRangeDuration, timeBounds, success); some {
			ch <- m
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for version, c := range r.clients {
		for kind, n := range map[string]uint64{"unary": c.unary.Load(), "stream": c.streams.Load()} {
			if n > 0 {
				counter(etcdClientRequests, n, kind, version)
			}
		}
	}
}
