//balsa:pure

package translate

import (
	"cmp"
	"errors"
	"math"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// Member is a member of the cluster.
type Member struct {
	ID                   uint64
	Name                 string
	PeerURLs, ClientURLs []string
	// Learner: it does not vote, and is not about to.
	Learner bool
}

// Members lists members.
func Members(all []Member) []*pb.Member {
	list := make([]*pb.Member, len(all))
	for i, m := range all {
		list[i] = &pb.Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.Learner}
	}
	return list
}

// Status describes a member.
type Status struct {
	Leader, Term, Commit, Applied uint64
	IsLearner                     bool // it does not vote, and is not about to
	// FileBytes is the size of the history's files, LiveBytes that of the records which can still be
	// read, Quota what the present ones may have at most; 0: any.
	FileBytes, LiveBytes, Quota int64
	// Raised are the alarms that requests have raised. AtQuota tells that the store is at its quota, LowSpace
	// that this member leads, and refuses writes for want of disk or memory.
	Raised            []state.Alarm
	AtQuota, LowSpace bool
	// Corrupt are the members whose state differs from that of a majority. If no majority agrees it
	// is this one.
	Corrupt []uint64
}

// StatusResponse is the description of the member with an id.
func StatusResponse(h *pb.ResponseHeader, s *Status, version, storageVersion string) *pb.StatusResponse {
	// Clients divide by the sizes and by the quota, and etcdctl ends by a division by 0. No store of etcd is empty.
	live := max(s.LiveBytes, 1)
	m := &pb.StatusResponse{
		Header: h, Version: version, StorageVersion: storageVersion,
		Leader: s.Leader, RaftTerm: s.Term, RaftIndex: s.Commit, RaftAppliedIndex: s.Applied,
		// What is newest is in no file yet.
		DbSize: max(s.FileBytes, live), DbSizeInUse: live, DbSizeQuota: cmp.Or(s.Quota, math.MaxInt64),
		DowngradeInfo: &pb.DowngradeInfo{}, IsLearner: s.IsLearner,
	}
	if s.Leader == uint64(raft.None) {
		m.Errors = append(m.Errors, ErrNoLeader.Text)
	}
	for _, a := range s.Alarms(h.MemberId, pb.AlarmType_NONE) {
		m.Errors = append(m.Errors, a.String())
	}
	return m
}

// MoveFailed is the error of a leadership that could not be handed over.
func MoveFailed(err error) error {
	switch {
	case errors.Is(err, rsm.ErrWrongLeader), errors.Is(err, raft.ErrNotLeader):
		return ErrNotLeader
	case errors.Is(err, raft.ErrNotVoter):
		return ErrBadLeaderTransferee
	case errors.Is(err, rsm.ErrStopped):
		return ErrStopped
	}
	return &Error{Unknown, "etcdserver: " + err.Error()}
}

// Downgrade is the error of a request to go back to an older version. target is the one that etcd
// would go back to: it is valid, but there is none that could go on with these files.
func Downgrade(r *pb.DowngradeRequest, target string) error {
	switch r.Action {
	case pb.DowngradeRequest_CANCEL:
		return nil
	case pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE:
		switch version, ok := majorMinor(r.Version); {
		case !ok:
			return ErrWrongDowngradeVersionFormat
		case version != target || r.Action == pb.DowngradeRequest_ENABLE:
			return ErrInvalidDowngradeTargetVersion
		}
		return nil
	}
	return &Error{Unknown, "etcdserver: unknown method"}
}

// majorMinor takes what follows off a text of the form 3.7 or 3.7.0.
func majorMinor(text string) (version string, ok bool) {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if _, err := strconv.ParseUint(part, 10, 32); err != nil {
			return "", false
		}
	}
	if len(parts) != 2 && len(parts) != 3 {
		return "", false
	}
	return parts[0] + "." + parts[1], true
}
