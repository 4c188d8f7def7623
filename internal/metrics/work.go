package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Work measures what a member does beside its requests: it writes its state, receives that of another
// member, makes a backup. It is a prometheus.Collector. Any goroutine may use it.
type Work struct {
	kinds       map[string]*workKind
	etcd        map[string]prometheus.Histogram // the durations of some kinds, by etcd's names
	running     *prometheus.Desc
	failures    *prometheus.Desc
	lastSuccess *prometheus.Desc
}

// WorkBackup is the kind that is a copy of all data, for clients of either API.
const WorkBackup = "backup"

// These kinds have a name of etcd's, too.
const (
	workCheckpoint = "checkpoint"
	workReceive    = "receive"
)

type workKind struct {
	running  atomic.Int64
	duration prometheus.Histogram
	failed   atomic.Uint64
	success  atomic.Int64 // when it was done last, in Unix milliseconds; 0: never
}

// NewWork returns a Work of these kinds.
func NewWork(kinds ...string) *Work {
	w := &Work{
		kinds:   map[string]*workKind{},
		running: prometheus.NewDesc("balsa_work_running", "Work of a kind that goes on now, or waits for other work.", []string{"work"}, nil),
		failures: prometheus.NewDesc("balsa_work_failures_total",
			"Work that failed, by its kind. What ends because the server stops is none of it.", []string{"work"}, nil),
		lastSuccess: prometheus.NewDesc("balsa_work_last_success_timestamp_seconds",
			"When work of a kind was done last, in Unix time; 0 if never since the process started.", []string{"work"}, nil),
	}
	etcd := func(name, help string, first float64, buckets int) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(first, 2, buckets)})
	}
	w.etcd = map[string]prometheus.Histogram{
		WorkBackup:     etcd("etcd_disk_backend_snapshot_duration_seconds", "How long copies of all data for clients took.", 0.01, 17),
		workCheckpoint: etcd("etcd_debugging_snap_save_total_duration_seconds", "How long checkpoints took.", 0.001, 14),
		workReceive:    etcd("etcd_snap_db_save_total_duration_seconds", "How long it took to receive and to save the state of another member.", 0.1, 10),
	}
	for _, kind := range kinds {
		w.kinds[kind] = &workKind{duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "balsa_work_duration_seconds", Help: "How long work of a kind took, be it done or failed.",
			ConstLabels: prometheus.Labels{"work": kind}, Buckets: prometheus.ExponentialBuckets(0.001, 4, 12), // to 70 min
		})}
	}
	return w
}

// Begin notes that work of a kind runs until the function that it returns is called.
func (w *Work) Begin(kind string) (leave func()) {
	k := w.kinds[kind]
	k.running.Add(1)
	return func() { k.running.Add(-1) }
}

// Running is how much work of a kind runs.
func (w *Work) Running(kind string) int64 { return w.kinds[kind].running.Load() }

// Ended counts work of a kind that began then and ended now.
func (w *Work) Ended(kind string, then, now time.Time, err error) {
	k := w.kinds[kind]
	k.duration.Observe(now.Sub(then).Seconds())
	if h := w.etcd[kind]; h != nil {
		h.Observe(now.Sub(then).Seconds())
	}
	if err != nil {
		k.failed.Add(1)
		return
	}
	k.success.Store(now.UnixMilli())
}

// Describe implements prometheus.Collector.
func (w *Work) Describe(ch chan<- *prometheus.Desc) {
	ch <- w.running
	ch <- w.failures
	ch <- w.lastSuccess
	for _, h := range w.etcd {
		h.Describe(ch)
	}
	for _, k := range w.kinds {
		k.duration.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (w *Work) Collect(ch chan<- prometheus.Metric) {
	for _, h := range w.etcd {
		h.Collect(ch)
	}
	for kind, k := range w.kinds {
		k.duration.Collect(ch)
		ch <- prometheus.MustNewConstMetric(w.running, prometheus.GaugeValue, float64(k.running.Load()), kind)
		ch <- prometheus.MustNewConstMetric(w.failures, prometheus.CounterValue, float64(k.failed.Load()), kind)
		ch <- prometheus.MustNewConstMetric(w.lastSuccess, prometheus.GaugeValue, float64(k.success.Load())/1e3, kind)
	}
}
