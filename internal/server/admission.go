package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"balsa.example/internal/birth"
	"balsa.example/raft"
	"balsa.example/transport"
)

// ErrNotAdmitted: the other members do not let this server into the cluster, and never will.
var ErrNotAdmitted = errors.New("this server is not admitted to the cluster")

// What a member is told that is refused, besides the transport's own codes.
const (
	codeOtherCluster = transport.OwnCode + iota
	codeReplaced
	codeOtherFounder
)

// admit is transport.Config.Admit. It hears what another member says of itself, and
// returns when what follows from it is durable.
func (s *Server) admit(from raft.NodeID, card []byte) error {
	r, err := birth.DecodeRecord(from, card)
	if err != nil {
		return err
	}
	v, changed, err := s.home.ledger.Hear(r)
	if err != nil {
		s.fail(err)
		return err
	}
	if changed || v == birth.Unborn {
		s.met.Set()
	}
	switch {
	case v == birth.SelfReplaced:
		s.fail(s.errReplaced(s.cfg.Cluster.nameOf(from)))
	case v == birth.OtherFounder && s.founds():
		s.fail(s.errOtherFounder(s.cfg.Cluster.nameOf(from)))
	}
	return s.refusal(r, v)
}

// refusal is what another member is told, nil if it is accepted.
func (s *Server) refusal(other birth.Record, v birth.Verdict) error {
	self, name := s.self.Name, s.cfg.Cluster.nameOf(other.Self)
	switch v {
	case birth.Accepted:
		return nil
	case birth.Unborn:
		return &transport.Refusal{Code: transport.Later, Reason: "the cluster has not begun"}
	case birth.OtherCluster:
		return &transport.Refusal{Code: codeOtherCluster, Reason: fmt.Sprintf(
			"%s is of cluster %016x, and %s of cluster %016x: these were begun apart, and share nothing but names",
			name, other.Certificate.Cluster, self, s.home.ledger.Identity().ClusterID)}
	case birth.OtherReplaced:
		return &transport.Refusal{Code: codeReplaced, Reason: fmt.Sprintf("the cluster knows %s by another data directory", name)}
	case birth.SelfReplaced:
		return fmt.Errorf("the cluster knows %s by another data directory", self)
	default:
		return &transport.Refusal{Code: codeOtherFounder, Reason: fmt.Sprintf(
			"one of %s and %s waits for another data directory of %s", self, name, s.cfg.Cluster.Members[0].Name)}
	}
}

// founds tells whether this server is the one that begins the cluster.
func (s *Server) founds() bool { return s.self.ID == s.cfg.Cluster.Members[0].ID }

func (s *Server) errReplaced(by string) error {
	return fmt.Errorf("%w: member %s has a new data directory %s, but %s knows it by an earlier one, and a member that "+
		"forgot what it promised could lose acknowledged writes; bring back the original directory (or correct the addresses, if %s is of another cluster)", ErrNotAdmitted, s.self.Name, s.cfg.DataDir, by, by)
}

func (s *Server) errOtherFounder(by string) error {
	return fmt.Errorf("%w: member %s has a new data directory %s, but %s waits for an earlier one to begin the cluster; bring that back, "+
		"or, if the cluster has never served, empty the directories of all its members", ErrNotAdmitted, s.self.Name, s.cfg.DataDir, by)
}

// admission counts the members that refuse a server whose cluster has not begun: they were
// told another cluster than this server, for instance one of which it is no member.
type admission struct {
	others  []Member
	refused map[raft.NodeID]string // the reason
}

// refuse takes note that a member refuses this server.
func (a *admission) refuse(by raft.NodeID, reason string) { a.refused[by] = reason }

// verdict is ErrNotAdmitted when a majority of the others refuse: they may well be right.
func (a *admission) verdict() error {
	if len(a.refused) <= len(a.others)/2 {
		return nil
	}
	var reasons []string
	for _, m := range a.others {
		if reason, ok := a.refused[m.ID]; ok {
			reasons = append(reasons, fmt.Sprintf("%s says: %s", m.Name, reason))
		}
	}
	return fmt.Errorf("%w: %s", ErrNotAdmitted, strings.Join(reasons, "; "))
}

// refused is transport.Config.OnRefused.
func (s *Server) refused(r *transport.Refusal) {
	select {
	case s.refusals <- r:
	case <-s.ctx.Done():
	case <-s.born: // then it is the other that must give way; the transport logs refusals
	}
}

// awaitBirth returns when the cluster of this server has begun.
func (s *Server) awaitBirth() error {
	a := &admission{s.cfg.Cluster.Others(s.self.ID), map[raft.NodeID]string{}}
	report := time.NewTicker(admissionLogInterval)
	defer report.Stop()
	last, said := s.home.ledger.Record(), ""
	for {
		now := s.home.ledger.Record()
		if now.Founder != last.Founder || now.Certificate != last.Certificate {
			s.transport.DialNow() // there is news for the others
		}
		if last = now; now.Certificate != nil {
			return nil
		}
		if waiting := s.waiting(); waiting != said {
			said = waiting
			s.front.setWaiting(waiting)
			s.log.Info(waiting)
		}
		select {
		case <-s.met.C():
		case r := <-s.refusals:
			s.log.Warn("refused by a member", "by", r.By, "reason", r.Reason)
			if err := s.weigh(a, r); err != nil {
				return err
			}
		case <-report.C:
			s.log.Info(said)
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// weigh returns an error if this server can never get into a cluster, being refused so.
func (s *Server) weigh(a *admission, r *transport.Refusal) error {
	switch {
	case r.Code == codeReplaced:
		return s.errReplaced(s.cfg.Cluster.nameOf(r.By))
	case r.Code == codeOtherFounder && s.founds():
		return s.errOtherFounder(s.cfg.Cluster.nameOf(r.By))
	case r.Code == transport.NotMember || r.Code == transport.OtherGroup:
		a.refuse(r.By, r.Reason)
	}
	return a.verdict()
}

// waiting says for whom this server waits before its cluster can begin.
func (s *Server) waiting() string {
	const rule = "new data directory: the cluster begins when all members have been reached once"
	founder := s.cfg.Cluster.Members[0]
	var names []string
	for _, id := range s.home.ledger.Awaited() {
		names = append(names, s.cfg.Cluster.nameOf(id))
	}
	switch {
	case s.founds() || slices.Contains(names, founder.Name):
		return fmt.Sprintf("%s; waiting for %s", rule, strings.Join(names, ", "))
	case len(names) > 0:
		return fmt.Sprintf("%s by %s; not seen from here: %s", rule, founder.Name, strings.Join(names, ", "))
	default:
		return fmt.Sprintf("%s by %s; waiting for it", rule, founder.Name)
	}
}
