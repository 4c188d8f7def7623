package server

import (
	"context"
	"encoding/json"
	runtimemetrics "runtime/metrics"
	"strings"
	"time"

	"balsa.example/internal/frontend/ui"
	"balsa.example/internal/metrics"
	"balsa.example/raft"
)

// question is what members ask each other for the dashboard: a report, with the points that end after
// Since.
type question struct {
	Since int64 `json:"since"` // Unix milliseconds
}

// answerMember is member.Config.Answer. Another member may ask before this server has all its parts.
func (s *Server) answerMember(ctx context.Context, text []byte) ([]byte, error) {
	select {
	case <-s.assembled:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var q question
	if err := json.Unmarshal(text, &q); err != nil {
		return nil, err
	}
	return json.Marshal(s.report(q))
}

// report is what this server says of itself.
func (s *Server) report(q question) *ui.Report {
	st := s.status()
	r := &ui.Report{
		Role: strings.ToLower(st.Role.String()), Version: st.ServerVersion, Uptime: int64(st.UptimeMs), Waiting: st.Waiting,
		Term: st.Term, Commit: st.CommitIndex, Applied: st.AppliedIndex, LastIndex: st.LastIndex,
		Revision: st.Revision, Compacted: st.CompactedRevision, Keys: st.Keys, Leases: st.Leases,
		StoreBytes: st.DbBytes, Quota: st.QuotaBytes, DataBytes: st.DataBytes, DiskWait: st.DiskWaitMs,
		DiskFree: st.Resources.DiskFreeBytes, Memory: st.Resources.MemoryBytes, MemoryLimit: st.Resources.MemoryLimitBytes,
		AlarmText: st.Alarm, Points: s.recent.Since(q.Since),
	}
	r.Leader = idText(raft.NodeID(st.LeaderId))
	if p := s.port; p != nil {
		var sample metrics.Sample
		p.Sample(&sample)
		r.Clients, r.Watchers = sample.Clients, sample.Watchers
	}
	for _, a := range st.Alarms {
		r.Alarms = append(r.Alarms, strings.ToLower(a.String()))
	}
	for _, side := range s.sampleTLS() {
		r.Certificates = append(r.Certificates, ui.Certificate{Side: side.Side, Expires: unixMilli(side.Expires), Authorities: unixMilli(side.AuthoritiesExpire)})
	}
	return r
}

// unixMilli is 0 for the zero time.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// memoryInUse is what the process has of the operating system, by the count of Go.
func memoryInUse() uint64 {
	all := []runtimemetrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	runtimemetrics.Read(all)
	return all[0].Value.Uint64() - all[1].Value.Uint64()
}

// keepRecent notes the figures of each interval until the server stops.
func (s *Server) keepRecent() {
	tick := time.NewTicker(metrics.RecentEvery)
	defer tick.Stop()
	for {
		term, leader := s.termAndLeader()
		s.recent.Look(time.Now(), term, leader)
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Server) termAndLeader() (term uint64, leader string) {
	n := s.node()
	if n == nil {
		return 0, ""
	}
	st := n.Status()
	return uint64(st.Term), idText(st.Leader)
}
