package server

import (
	"errors"
	"fmt"

	"balsa.example/api"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// node is what replicates, of a member with a state or of a witness.
type node = rsm.Node[state.Command, state.Result]

// node is nil until this server takes part in the cluster.
func (s *Server) node() *node {
	if r := s.running.Load(); r != nil {
		return r.Node
	}
	return s.witness.Load()
}

// errWitness is what a witness says to who wants more of it than a vote.
var errWitness = errors.New("this server is a witness: it votes, and answers no requests")

// runWitness is run, of a server that keeps no state: it only votes. Its log keeps the position behind
// which it begins as a snapshot without data.
func (s *Server) runWitness() {
	log := s.member.Log()
	w, err := rsm.Start(rsm.Config[state.Command, state.Result]{
		ID:                s.id(),
		Witness:           true,
		Log:               log,
		Snapshots:         log,
		Transport:         s.member.Transport(),
		HeartbeatInterval: s.cfg.HeartbeatInterval,
		ElectionTimeout:   s.cfg.ElectionTimeout,
		LeaseReads:        s.cfg.LeaseReads,
		Logger:            s.log,
		OnConfiguration:   s.onConfiguration,
	})
	if err != nil {
		s.fail(fmt.Errorf("start the witness: %w", s.member.Explain(err)))
		return
	}
	s.member.Start(w)
	s.witness.Store(w)
	close(s.ready)
	s.log.Info("votes as a witness, and answers no requests")
	if s.cfg.OnReady != nil {
		s.cfg.OnReady()
	}
	s.await(w)
}

// unanswered says why requests are not answered.
func (s *Server) unanswered() string {
	if text := s.member.Waiting(); text != "" || !s.cfg.Witness {
		return text
	}
	return errWitness.Error()
}

// witnessStatus is the part of a server's status that its replica tells, of a witness.
func witnessStatus(w *node) *api.StatusReply {
	st := w.Status()
	reply := &api.StatusReply{
		NodeId: uint64(st.ID), Role: api.Role_FOLLOWER, Term: uint64(st.Term), LeaderId: uint64(st.Leader),
		CommitIndex: uint64(st.Commit), AppliedIndex: uint64(st.Applied), FirstIndex: uint64(st.FirstIndex), LastIndex: uint64(st.LastIndex),
		LogBytes: uint64(st.LogBytes), SnapshotIndex: uint64(st.Snapshot.Index), DiskWaitMs: uint64(st.DiskWait.Milliseconds()),
		CommandVersion: state.Version, // it executes no command, and is in the way of none
	}
	if st.Role == raft.Leader {
		reply.Role = api.Role_LEADER
	}
	if st.WitnessFull {
		reply.Alarm = "the witness takes no more writes: a member that is away lacks all that its log may hold; start that member, or remove it"
	}
	return reply
}
