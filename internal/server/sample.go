package server

import (
	"slices"
	"strings"
	"time"

	"balsa.example/api"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/state"
)

// newWorks measures the works of package state, and what a server does besides.
func newWorks() *metrics.Work {
	kinds := []string{metrics.WorkBackup}
	for _, w := range state.Works {
		kinds = append(kinds, string(w))
	}
	return metrics.NewWork(kinds...)
}

// beginWork measures work until the function that it returns is called. What ends because the server
// stops has not failed.
func (s *Server) beginWork(kind string) (end func(error)) {
	then, leave := time.Now(), s.works.Begin(kind)
	return func(err error) {
		leave()
		if err == nil || s.ctx.Err() == nil {
			s.works.Ended(kind, then, time.Now(), err)
		}
	}
}

func (s *Server) beginBackup() (end func(error)) { return s.beginWork(metrics.WorkBackup) }

// sampleCluster adds the members, the connections of others and the space that is left.
func (s *Server) sampleCluster(sample *metrics.Sample) {
	sample.Time = time.Now()
	voters, learners, witnesses := 0, 0, 0
	for _, m := range s.member.Known().All {
		switch {
		case m.Witness:
			witnesses++
		case m.Voter:
			voters++
		default:
			learners++
		}
	}
	sample.Members = []metrics.Members{{Role: "voter", Count: voters}, {Role: "learner", Count: learners}, {Role: "witness", Count: witnesses}}
	peers := s.member.TransportStats()
	sample.Surplus = append(sample.Surplus, metrics.Surplus{Of: "handshakes", Count: peers.Evicted})
	sample.Connections = append(sample.Connections, metrics.Connections{Face: "peer", Open: peers.Open, All: peers.Accepted})
	if s.metrics != nil {
		all := metrics.Connections{Face: "metrics"}
		for _, c := range s.metrics.Connections() {
			all.Open, all.All = all.Open+c.Open, all.All+c.All
		}
		sample.Connections = append(sample.Connections, all)
	}
	available, err := s.cfg.FS.Available(s.cfg.DataDir)
	sample.Disk.Available, sample.Disk.AvailableKnown = available, err == nil
	sample.Disk.Limits = []metrics.SpaceLimit{{Refuses: "data", Bytes: replica.SpaceReserve}, {Refuses: "everything", Bytes: replica.LastSpace}}
}

// witnessFull is the one alarm of a witness: see witnessStatus.
const witnessFull = "witness_full"

// sampleAlarms are all kinds of alarms of a member with a state.
func sampleAlarms(r *replica.Replica) (all []metrics.Alarm) {
	raised := r.Alarms()
	for n := range int32(len(api.Alarm_name) - 1) {
		alarm := api.Alarm(n + 1)
		all = append(all, metrics.Alarm{Name: strings.ToLower(alarm.String()), Raised: slices.Contains(raised, alarm)})
	}
	return all
}
