package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/clients"
	httpface "balsa.example/internal/frontend/http"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/raft"
)

// etcdVersions are those of which the etcd API is. Clients compare them with what they know.
var etcdVersions = httpface.Versions{Server: "3.7.3", Cluster: "3.7.0", Storage: "3.7.0"}

// readTimeout and two elections are how long a read of the cluster may take that a check of health
// makes, as in etcd.
const readTimeout = 5 * time.Second

// showFigures makes what answers scrapes. It is one for all ports.
func (s *Server) showFigures() {
	s.figures = metrics.Handler(metrics.Config{
		Sample: s.sample, Collectors: []prometheus.Collector{s.syncs, s.commits, s.applies, s.health, s.transfers, s.trips, s.requests, s.calls, s.failures, s.works, s.slow, s.asked}, Logger: s.log,
	})
}

// httpHandler answers what is asked by HTTP. Other paths are for others, which may be nil.
func (s *Server) httpHandler(port func() *clients.Port, pprof bool, others http.Handler) http.Handler {
	return httpface.Handler(httpface.Config{
		Versions: etcdVersions, Metrics: s.figures, Variables: s.variables(), Pprof: pprof, Others: others,
		Hosts: s.cfg.Hosts, Plain: func(r *http.Request) bool {
			client, done := port().ClientOf(r.Context())
			defer done()
			return client.Plain()
		},
		Checks: httpface.Checks{
			Begun: s.begun, Alarms: s.alarms, HasLeader: s.hasLeader, IsLearner: s.isLearner, Read: s.read, Told: s.toldHealth, Checked: s.health.Checked,
			Timeout: readTimeout + 2*s.cfg.ElectionTimeout,
		},
	})
}

// toldHealth counts an answer of /health.
func (s *Server) toldHealth(healthy bool) {
	if healthy {
		s.healthy.Add(1)
	} else {
		s.unhealthy.Add(1)
	}
}

// begun is nil if this server takes part in the cluster, else why it cannot serve.
func (s *Server) begun() error {
	switch {
	case s.Err() != nil:
		return s.Err()
	case s.ctx.Err() != nil:
		return errors.New("server is stopping")
	case s.witness.Load() != nil:
		return nil
	case s.native.Replica() == nil:
		return errors.New(s.native.Waiting())
	}
	return nil
}

func (s *Server) hasLeader() bool {
	if w := s.witness.Load(); w != nil {
		return w.Leader() != raft.None
	}
	r := s.native.Replica()
	return r != nil && r.Node.Status().Leader != raft.None
}

// alarms are the names of those that clients of etcd are told of, too.
func (s *Server) alarms() (names []string) {
	if r := s.native.Replica(); r != nil {
		for _, a := range s.etcdAlarms(r) {
			names = append(names, a.Name)
		}
	}
	return names
}

// etcdAlarms are those that clients of etcd are told of.
func (s *Server) etcdAlarms(r *replica.Replica) (all []metrics.EtcdAlarm) {
	status := etcdMember{s, r}.Status()
	for _, a := range status.Alarms(uint64(s.id()), pb.AlarmType_NONE) {
		all = append(all, metrics.EtcdAlarm{Member: a.MemberID, Name: a.Alarm.String()})
	}
	return all
}

// read returns when a read of what this server has, or of what the cluster has, could be answered.
func (s *Server) read(ctx context.Context, local bool) error {
	if w := s.witness.Load(); w != nil { // it has nothing to read; that it knows a leader has to do
		if local {
			return nil
		}
		_, err := w.AwaitLeader(ctx)
		return err
	}
	r := s.native.Replica()
	if r == nil {
		return errors.New(s.native.Waiting())
	}
	if local {
		return nil
	}
	_, err := r.Node.ReadAnywhere(ctx, raft.ReadByIndex)
	return err
}
