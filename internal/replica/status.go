package replica

import (
	"fmt"
	"slices"

	"balsa.example/api"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// roles gives the wire form of each role.
var roles = map[raft.Role]api.Role{
	raft.Follower:     api.Role_FOLLOWER,
	raft.PreCandidate: api.Role_CANDIDATE,
	raft.Candidate:    api.Role_CANDIDATE,
	raft.Leader:       api.Role_LEADER,
}

// progress gives the wire form of raft.PeerStatus.State.
var progress = map[string]api.Peer_Progress{
	"probe":     api.Peer_PROBE,
	"replicate": api.Peer_REPLICATE,
	"snapshot":  api.Peer_SNAPSHOT,
	"lost":      api.Peer_LOST,
}

// alarmText says what is wrong, for people; empty if nothing is.
func alarmText(alarm bool, damaged int, raised []state.Alarm) string {
	has := func(kind state.AlarmKind) bool { return slices.ContainsFunc(raised, isOf(kind)) }
	switch {
	case alarm:
		return rsm.ErrAlarm.Error()
	case has(state.AlarmCorrupt):
		return `somebody has raised an alarm CORRUPT: no writes are taken until it is lifted ("balsa alarm list", "balsa alarm disarm")`
	case damaged > 0:
		return fmt.Sprintf("%d files of its history are damaged, and could not be repaired yet: its log says why", damaged)
	case has(state.AlarmNoSpace):
		return `somebody has raised an alarm NOSPACE: no more data is taken until it is lifted ("balsa alarm list", "balsa alarm disarm")`
	}
	return ""
}

func isOf(kind state.AlarmKind) func(state.Alarm) bool {
	return func(a state.Alarm) bool { return a.Kind == kind }
}

// alarms lists what is wrong, for programs.
func alarms(st rsm.Status, figures state.Figures, lowSpace bool, raised []state.Alarm) (alarms []api.Alarm) {
	if st.Alarm {
		alarms = append(alarms, api.Alarm_DIVERGED)
	}
	if figures.AtQuota() {
		alarms = append(alarms, api.Alarm_OVER_QUOTA)
	}
	if lowSpace {
		alarms = append(alarms, api.Alarm_LOW_SPACE)
	}
	if figures.Damaged > 0 {
		alarms = append(alarms, api.Alarm_DAMAGED)
	}
	if slices.ContainsFunc(raised, isOf(state.AlarmNoSpace)) {
		alarms = append(alarms, api.Alarm_NO_SPACE)
	}
	if slices.ContainsFunc(raised, isOf(state.AlarmCorrupt)) {
		alarms = append(alarms, api.Alarm_CORRUPT)
	}
	return alarms
}

// Alarms lists what is wrong.
func (r *Replica) Alarms() []api.Alarm {
	return alarms(r.Node.Status(), r.State.Figures(), r.ownShortage().LowSpace, r.State.Alarms())
}

// Status describes the replica. The server around it adds what the network knows of the
// other members.
func (r *Replica) Status() *api.StatusReply {
	st, hashed := r.statusWithHash()
	figures, raised := r.State.Figures(), r.State.Alarms()
	reply := &api.StatusReply{
		NodeId:         uint64(st.ID),
		Role:           roles[st.Role],
		Term:           uint64(st.Term),
		LeaderId:       uint64(st.Leader),
		CommitIndex:    uint64(st.Commit),
		AppliedIndex:   uint64(st.Applied),
		FirstIndex:     uint64(st.FirstIndex),
		LastIndex:      uint64(st.LastIndex),
		LogBytes:       uint64(st.LogBytes),
		SnapshotIndex:  uint64(st.Snapshot.Index),
		DiskWaitMs:     uint64(st.DiskWait.Milliseconds()),
		Alarm:          alarmText(st.Alarm, figures.Damaged, raised),
		Keys:           uint64(figures.Keys),
		Revision:       hashed.revision,
		StateHash:      hashed.hash,
		StateHashIndex: uint64(hashed.index),

		ClusterVersion: r.State.ClusterVersion(), CommandVersion: r.State.KnownVersion(),
		CompactedRevision: figures.Compacted,
		Leases:            uint64(figures.Leases),
		HistoryBytes:      uint64(figures.HistoryBytes),
		Runs:              uint64(figures.Runs),
		IndexBytes:        uint64(figures.IndexBytes),
		DbBytes:           uint64(figures.Bytes),
		QuotaBytes:        uint64(figures.Quota),
		Alarms:            alarms(st, figures, r.ownShortage().LowSpace, raised),
	}
	for _, p := range st.Peers {
		reply.Peers = append(reply.Peers, &api.Peer{
			NodeId:     uint64(p.ID),
			Connected:  p.Active,
			Progress:   progress[p.State],
			MatchIndex: uint64(p.Match),
		})
	}
	for _, id := range st.Diverged {
		i := slices.IndexFunc(reply.Peers, func(p *api.Peer) bool { return p.NodeId == uint64(id) })
		if i < 0 { // this replica is not leader, and knows no progress
			i, reply.Peers = len(reply.Peers), append(reply.Peers, &api.Peer{NodeId: uint64(id)})
		}
		reply.Peers[i].Diverged = true
	}
	return reply
}

// stateHash is a hash of the store at a revision, and at an index of the log if that
// is known.
type stateHash struct {
	hash, revision uint64
	index          raft.Index // 0: entries were applied meanwhile
}

// hashAttempts is how often statusWithHash tries to read the store between two changes.
const hashAttempts = 4

// statusWithHash returns the replica's status, and the store's hash at its commit index. A
// store under load may change in between at each attempt. Then the index is 0, and the hash
// is that of the revision, or 0.
func (r *Replica) statusWithHash() (rsm.Status, stateHash) {
	var after rsm.Status
	var h stateHash
	for range hashAttempts {
		before := r.Node.Status()
		h = stateHash{revision: r.State.Revision(), hash: r.State.Hash()}
		if r.State.Revision() != h.revision {
			h.hash = 0
		}
		after = r.Node.Status()
		// Entries beyond the commit index are never applied. So if all up to it were applied
		// before the hash was read, the store did not change meanwhile.
		if h.hash != 0 && before.Applied == after.Commit {
			h.index = after.Commit
			break
		}
	}
	return after, h
}
