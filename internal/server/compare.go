package server

import (
	"cmp"
	"math"
	"runtime"
	"time"

	"balsa.example/api"
	"balsa.example/internal/machine"
	"balsa.example/kv"
)

// compare adds to a status what is of use to those who look twice, or at all members.
func (s *Server) compare(reply *api.StatusReply) {
	reply.ClockUnixMs = time.Now().UnixMilli()
	reply.Work, reply.Settings, reply.Resources = s.workDone(), s.settings(), s.resources()
	for _, side := range s.sampleTLS() {
		reply.Certificates = append(reply.Certificates, &api.CertificateExpiry{
			Side: side.Side, Certificate: unix(side.Expires), Authority: unix(side.AuthoritiesExpire), Stale: side.Stale,
		})
	}
}

func (s *Server) workDone() *api.Work {
	t := s.recent.Totals()
	w := &api.Work{
		Reads: t.Reads, Writes: t.Writes, Failed: t.Failed,
		Syncs: t.Syncs, SyncUs: uint64(t.SyncTime.Microseconds()), LogBytes: t.LogBytes,
	}
	for _, up := range t.SyncTimes {
		w.SyncTimes = append(w.SyncTimes, &api.CountUpTo{UpToUs: uint64(up.Took.Microseconds()), Count: up.Count})
	}
	if used, ok := machine.ProcessorTime(); ok {
		w.ProcessorUs = uint64(used.Microseconds())
	}
	return w
}

func (s *Server) settings() *api.Settings {
	return &api.Settings{
		ElectionTimeoutMs:   uint64(s.cfg.ElectionTimeout.Milliseconds()),
		HeartbeatIntervalMs: uint64(s.cfg.HeartbeatInterval.Milliseconds()),
		MaxRequestBytes:     uint64(cmp.Or(s.cfg.Limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)),
		MaxTxnOps:           uint64(cmp.Or(s.cfg.Limits.MaxTxnOps, kv.DefaultLimits.MaxTxnOps)),
		HistoryAgeMs:        uint64(time.Duration(s.cfg.Retention.Age).Milliseconds()),
		HistoryRevisions:    s.cfg.Retention.Revisions,
		QuotaBytes:          uint64(max(s.cfg.Quota, 0)),
		LeaseReads:          s.cfg.LeaseReads,
	}
}

// processors is how many this process can keep busy. Where there is one, Go may use a second thread: see machine.StartAnew.
func processors() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }

func (s *Server) resources() *api.Resources {
	r := &api.Resources{MemoryBytes: memoryInUse(), Processors: uint64(processors())}
	if free, err := s.cfg.FS.Available(s.cfg.DataDir); err == nil {
		r.DiskFreeBytes = free
	}
	// Beyond this the process is killed. Go's own limit is lower: its memory comes close to that by garbage alone.
	if limit := min(machine.GroupLimit("/"), machine.Memory("/")); limit < math.MaxInt64 {
		r.MemoryLimitBytes = uint64(limit)
	}
	if s.cfg.Descriptors < math.MaxInt32 {
		r.OpenFilesLimit = uint64(s.cfg.Descriptors)
	}
	return r
}

// unix is 0 for the zero time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
