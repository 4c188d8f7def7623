package etcd_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

func TestMembers(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	want := &pb.MemberListResponse{
		Header: header(0), // the headers of this service have no revision
		Members: []*pb.Member{
			{ID: 8, Name: "n1", PeerURLs: []string{"http://a:1"}, ClientURLs: []string{"http://a:2", "http://b:2"}},
			{ID: 9, Name: "n2", PeerURLs: []string{"http://c:1"}},
		},
	}
	same(t, "members", do(t, w, w.MemberList, &pb.MemberListRequest{}), want)
	if w.node.reads != 0 {
		t.Error("a list that needs not be new asks the cluster")
	}
	same(t, "members", do(t, w, w.MemberList, &pb.MemberListRequest{Linearizable: true}), want)
	w.node.readErr = &rsm.NotLeaderError{}
	_, err := w.MemberList(t.Context(), w.any, &pb.MemberListRequest{Linearizable: true})
	refused(t, err, translate.ErrNoLeader)
}

func TestMembersChange(t *testing.T) {
	w := newWorld(t)
	add := do(t, w, w.MemberAdd, &pb.MemberAddRequest{PeerURLs: []string{"http://d:1", "unix://d"}, IsLearner: true})
	if add.Member.GetID() != 10 || !add.Member.IsLearner || len(add.Members) != 3 || add.Header.Revision != 0 {
		t.Errorf("added: %v", add)
	}
	if r := do(t, w, w.MemberUpdate, &pb.MemberUpdateRequest{ID: 9, PeerURLs: []string{"http://moved:1"}}); r.Members[1].PeerURLs[0] != "http://moved:1" {
		t.Errorf("updated: %v", r)
	}
	if r := do(t, w, w.MemberPromote, &pb.MemberPromoteRequest{ID: 10}); r.Members[2].IsLearner {
		t.Errorf("promoted: %v", r)
	}
	if r := do(t, w, w.MemberRemove, &pb.MemberRemoveRequest{ID: 8}); len(r.Members) != 2 || r.Header.Revision != 0 {
		t.Errorf("removed: %v", r)
	}
	if w.node.reads != 4 {
		t.Errorf("%d times of 4 it was made sure that what is answered is new", w.node.reads)
	}
}

func TestChangesOfMembersThatMakeNoSense(t *testing.T) {
	w := newWorld(t)
	_, err := w.MemberRemove(t.Context(), w.any, &pb.MemberRemoveRequest{ID: 7})
	refused(t, err, translate.ErrMemberNotFound)
	_, err = w.MemberUpdate(t.Context(), w.any, &pb.MemberUpdateRequest{ID: 7, PeerURLs: []string{"http://a:1"}})
	refused(t, err, translate.ErrMemberNotFound)
	_, err = w.MemberPromote(t.Context(), w.any, &pb.MemberPromoteRequest{ID: 7})
	refused(t, err, translate.ErrMemberNotFound)
	for _, urls := range [][]string{nil, {""}, {"nonsense"}, {"http://a"}, {"http://a:1/b"}, {"ftp://a:1"}, {"http://a:1", "http://%"}} {
		_, err = w.MemberAdd(t.Context(), w.any, &pb.MemberAddRequest{PeerURLs: urls})
		refused(t, err, translate.ErrMemberBadURLs)
		_, err = w.MemberUpdate(t.Context(), w.any, &pb.MemberUpdateRequest{ID: 8, PeerURLs: urls})
		refused(t, err, translate.ErrMemberBadURLs)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	w.node.status = translate.Status{Leader: 8, Term: 9, Commit: 5, Applied: 4, FileBytes: 1000, LiveBytes: 600, Quota: 2000}
	want := &pb.StatusResponse{
		Header: header(2), Version: "3.7.3", StorageVersion: "3.7.0", DbSize: 1000, DbSizeInUse: 600, DbSizeQuota: 2000,
		Leader: 8, RaftTerm: 9, RaftIndex: 5, RaftAppliedIndex: 4, DowngradeInfo: &pb.DowngradeInfo{},
	}
	same(t, "status", do(t, w, w.Status, &pb.StatusRequest{}), want)
	w.node.status.Quota = 0
	if got := do(t, w, w.Status, &pb.StatusRequest{}).DbSizeQuota; got != math.MaxInt64 {
		t.Errorf("without a quota it is %d", got) // clients divide by it
	}
	w.node.status.FileBytes, w.node.status.LiveBytes = 0, 0
	if got := do(t, w, w.Status, &pb.StatusRequest{}); got.DbSize != 1 || got.DbSizeInUse != 1 {
		t.Errorf("an empty store has %d bytes, %d in use", got.DbSize, got.DbSizeInUse) // etcdctl's table divides by them
	}
	w.node.status.LiveBytes = 600
	w.node.readErr = &rsm.NotLeaderError{} // a status needs no leader
	w.node.status.Leader, w.node.status.LowSpace, w.node.status.Corrupt, w.node.status.FileBytes = 0, true, []uint64{9}, 0
	got := do(t, w, w.Status, &pb.StatusRequest{})
	nospace, corrupt := &pb.AlarmMember{MemberID: 8, Alarm: pb.AlarmType_NOSPACE}, &pb.AlarmMember{MemberID: 9, Alarm: pb.AlarmType_CORRUPT}
	if errs := []string{"etcdserver: no leader", nospace.String(), corrupt.String()}; !slices.Equal(got.Errors, errs) || got.DbSize != 600 {
		t.Errorf("%v", got)
	}
}

func alarmOf(id uint64, kind pb.AlarmType) *pb.AlarmMember {
	return &pb.AlarmMember{MemberID: id, Alarm: kind}
}

// TestAlarmsEndWithTheirCause: those that a request has not raised cannot be lifted by one either.
func TestAlarmsEndWithTheirCause(t *testing.T) {
	w := newWorld(t)
	none := &pb.AlarmResponse{Header: header(1)}
	same(t, "alarms", do(t, w, w.Alarm, &pb.AlarmRequest{}), none)
	w.node.status = translate.Status{LowSpace: true, Corrupt: []uint64{9}}
	nospace, corrupt := alarmOf(8, pb.AlarmType_NOSPACE), alarmOf(9, pb.AlarmType_CORRUPT)
	for _, tt := range []struct {
		r    *pb.AlarmRequest
		want []*pb.AlarmMember
	}{
		{&pb.AlarmRequest{}, []*pb.AlarmMember{nospace, corrupt}},
		{&pb.AlarmRequest{Alarm: pb.AlarmType_CORRUPT}, []*pb.AlarmMember{corrupt}},
		{&pb.AlarmRequest{MemberID: 8}, []*pb.AlarmMember{nospace, corrupt}}, // etcd does not look at the member either
		{&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 8, Alarm: pb.AlarmType_NOSPACE}, nil},
		{&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 9, Alarm: pb.AlarmType_CORRUPT}, nil},
		{&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE}, nil},
	} {
		same(t, "alarms", do(t, w, w.Alarm, tt.r), &pb.AlarmResponse{Header: header(1), Alarms: tt.want})
	}
	w.node.status = translate.Status{}
	same(t, "alarms", do(t, w, w.Alarm, &pb.AlarmRequest{}), none)
	_, err := w.Alarm(t.Context(), w.any, &pb.AlarmRequest{Action: 3})
	refused(t, err, &translate.Error{Code: translate.InvalidArgument, Text: "etcdserver: unknown alarm action"})
}

// TestAlarmsOfRequests are raised and lifted by them, and refuse others meanwhile.
func TestAlarmsOfRequests(t *testing.T) {
	w := newWorld(t)
	change := func(action pb.AlarmRequest_AlarmAction, a *pb.AlarmMember, want ...*pb.AlarmMember) {
		t.Helper()
		got := do(t, w, w.Alarm, &pb.AlarmRequest{Action: action, MemberID: a.MemberID, Alarm: a.Alarm})
		same(t, "change", got, &pb.AlarmResponse{Header: got.Header, Alarms: want})
	}
	const raise, lift = pb.AlarmRequest_ACTIVATE, pb.AlarmRequest_DEACTIVATE
	nospace, corrupt, other := alarmOf(5, pb.AlarmType_NOSPACE), alarmOf(0, pb.AlarmType_CORRUPT), alarmOf(5, -7)
	change(raise, nospace, nospace)
	change(raise, nospace, nospace)
	_, err := w.Put(t.Context(), w.any, &pb.PutRequest{Key: []byte("a")})
	refused(t, err, translate.ErrNoSpace)
	_, err = w.LeaseGrant(t.Context(), w.any, &pb.LeaseGrantRequest{TTL: 5})
	refused(t, err, translate.ErrNoSpace)
	do(t, w, w.DeleteRange, &pb.DeleteRangeRequest{Key: []byte("a")})
	change(raise, corrupt, corrupt)
	change(raise, other, other)
	_, err = w.DeleteRange(t.Context(), w.any, &pb.DeleteRangeRequest{Key: []byte("a")})
	refused(t, err, translate.ErrCorrupt)
	_, err = w.Compact(t.Context(), w.any, &pb.CompactionRequest{Revision: 1})
	refused(t, err, translate.ErrCorrupt)
	do(t, w, w.Range, &pb.RangeRequest{Key: []byte("a")})
	listed := func(want ...*pb.AlarmMember) {
		t.Helper()
		got := do(t, w, w.Alarm, &pb.AlarmRequest{})
		same(t, "list", got, &pb.AlarmResponse{Header: got.Header, Alarms: want})
	}
	listed(nospace, corrupt, other)
	if got := do(t, w, w.Status, &pb.StatusRequest{}).Errors; len(got) != 4 { // and there is no leader
		t.Errorf("status has the errors %q", got)
	}
	change(lift, alarmOf(8, pb.AlarmType_NOSPACE))
	change(lift, nospace, nospace)
	change(lift, corrupt, corrupt)
	change(lift, corrupt)
	change(lift, other, other)
	do(t, w, w.Put, &pb.PutRequest{Key: []byte("a")})
}

// TestTheAlarmOfTheQuota is the leader's, and can be lifted.
func TestTheAlarmOfTheQuota(t *testing.T) {
	w := newWorld(t)
	w.node.status.Leader = 9
	for _, m := range []state.More{{Kind: state.KindVersion, Version: state.Version}, {Kind: state.KindQuota, Quota: 500}} {
		w.node.machine.DoOp(state.Command{More: &m})
	}
	_, err := w.Put(t.Context(), w.any, &pb.PutRequest{Key: []byte("a"), Value: make([]byte, 600)})
	refused(t, err, translate.ErrNoSpace)
	whole := &pb.AlarmResponse{Header: header(1), Alarms: []*pb.AlarmMember{alarmOf(9, pb.AlarmType_NOSPACE)}}
	same(t, "list", do(t, w, w.Alarm, &pb.AlarmRequest{}), whole)
	lift := &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 9, Alarm: pb.AlarmType_NOSPACE}
	same(t, "lifted", do(t, w, w.Alarm, lift), whole)
	same(t, "list", do(t, w, w.Alarm, &pb.AlarmRequest{}), &pb.AlarmResponse{Header: header(1)})
}

func TestMoveLeader(t *testing.T) {
	w := newWorld(t)
	w.node.leader = 9
	_, err := w.MoveLeader(t.Context(), w.any, &pb.MoveLeaderRequest{TargetID: 8})
	refused(t, err, translate.ErrNotLeader)
	w.node.leader = 8
	same(t, "move", do(t, w, w.MoveLeader, &pb.MoveLeaderRequest{TargetID: 9}), &pb.MoveLeaderResponse{Header: header(1)})
	do(t, w, w.MoveLeader, &pb.MoveLeaderRequest{TargetID: 8}) // it leads already, and the node knows
	if !slices.Equal(w.node.moved, []uint64{9, 8}) {
		t.Errorf("moved to %d", w.node.moved)
	}
	for cause, want := range map[error]*translate.Error{
		raft.ErrNotVoter: translate.ErrBadLeaderTransferee, raft.ErrNotLeader: translate.ErrNotLeader,
		context.DeadlineExceeded: translate.ErrTimeout, rsm.ErrStopped: translate.ErrStopped,
	} {
		w.node.moveErr = cause
		_, err := w.MoveLeader(t.Context(), w.any, &pb.MoveLeaderRequest{TargetID: 9})
		refused(t, err, want)
	}
}

func TestDowngradesAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		r    *pb.DowngradeRequest
		want *translate.Error
	}{
		{&pb.DowngradeRequest{Version: "3.5"}, translate.ErrInvalidDowngradeTargetVersion},
		{&pb.DowngradeRequest{Version: "3.7.0"}, translate.ErrInvalidDowngradeTargetVersion},
		{&pb.DowngradeRequest{Version: "3.6.0", Action: pb.DowngradeRequest_ENABLE}, translate.ErrInvalidDowngradeTargetVersion},
		{&pb.DowngradeRequest{Version: "3"}, translate.ErrWrongDowngradeVersionFormat},
		{&pb.DowngradeRequest{Version: "3.x"}, translate.ErrWrongDowngradeVersionFormat},
		{&pb.DowngradeRequest{Version: "3.6.0.0"}, translate.ErrWrongDowngradeVersionFormat},
	} {
		_, err := w.Downgrade(t.Context(), w.any, tt.r)
		refused(t, err, tt.want)
	}
}

func TestDowngradesThatWouldDoNothingAreAnswered(t *testing.T) {
	w := newWorld(t)
	for _, r := range []*pb.DowngradeRequest{{Version: "3.6"}, {Version: "3.6.7"}, {Action: pb.DowngradeRequest_CANCEL}} {
		same(t, "downgrade", do(t, w, w.Downgrade, r), &pb.DowngradeResponse{Header: header(1), Version: "3.7"})
	}
}

func TestDefragmentAnswersAtOnce(t *testing.T) {
	w := newWorld(t)
	same(t, "defragment", do(t, w, w.Defragment, &pb.DefragmentRequest{}), &pb.DefragmentResponse{})
}

// TestHashKVIsThatOfTheHistory compares two members which were compacted at the same revision, but
// not at the same time.
// A hash is that of what can be read: members free what is compacted in their own time.
func TestHashKVHidesWhatIsFreed(t *testing.T) {
	a, b := newWorld(t), newWorld(t)
	for _, w := range []*world{a, b} {
		for i := range 200 {
			do(t, w, w.Put, put(fmt.Sprint(i%7), fmt.Sprint(i)))
			do(t, w, w.DeleteRange, del(fmt.Sprint(i%5), ""))
		}
		do(t, w, w.Compact, &pb.CompactionRequest{Revision: 150})
	}
	m := b.node.machine
	versions := m.Figures().Versions
	_, err := m.Checkpoint(raft.SnapshotMeta{Index: 401, Term: 1, Configuration: raft.NewConfiguration(1)})(t.Context())
	for more := true; more && err == nil; {
		more, err = m.Maintain()
	}
	if left := m.Figures().Versions; err != nil || left >= versions {
		t.Fatalf("%d versions of %d are left: %v", left, versions, err)
	}
	for _, revision := range []int64{0, 150, 151, 200} {
		x := do(t, a, a.HashKV, &pb.HashKVRequest{Revision: revision})
		y := do(t, b, b.HashKV, &pb.HashKVRequest{Revision: revision})
		if !proto.Equal(x, y) {
			t.Errorf("at revision %d: %v, and %v where all is freed", revision, x, y)
		}
	}
}

func TestHashKVIsThatOfTheHistory(t *testing.T) {
	a, b := newWorld(t), newWorld(t)
	hash := func(w *world, revision int64) *pb.HashKVResponse {
		return do(t, w, w.HashKV, &pb.HashKVRequest{Revision: revision})
	}
	steps := []string{"a", "b", "c", "a", "d", "b", "e", "a"}
	for i, key := range steps {
		do(t, a, a.Put, put(key, key))
		do(t, b, b.Put, put(key, key))
		if i == 4 {
			do(t, a, a.DeleteRange, del("b", "d"))
			do(t, b, b.DeleteRange, del("b", "d"))
		}
	}
	last := a.node.machine.Revision()
	if got := hash(a, 0); got.HashRevision != int64(last) || got.CompactRevision != 0 || got.Header.Revision != int64(last) {
		t.Errorf("%v", got)
	}
	seen := map[uint32]int64{}
	for revision := int64(1); revision <= int64(last); revision++ {
		h := hash(a, revision).Hash
		if at, ok := seen[h]; ok {
			t.Errorf("revision %d has the hash of %d", revision, at)
		}
		seen[h] = revision
		if hash(b, revision).Hash != h {
			t.Errorf("at revision %d the members differ", revision)
		}
	}
	for _, w := range []*world{a, b} {
		do(t, w, w.Compact, &pb.CompactionRequest{Revision: 5})
	}
	do(t, b, b.Put, put("only", "here"))
	if x, y := hash(a, int64(last)), hash(b, int64(last)); x.Hash != y.Hash || x.CompactRevision != 5 || y.CompactRevision != 5 {
		t.Errorf("after a compaction: %v and %v", x, y)
	}
	if hash(a, 0).Hash == hash(b, 0).Hash {
		t.Error("a key that only one member has does not show")
	}
	for revision, want := range map[int64]*translate.Error{4: translate.ErrCompacted, int64(last) + 1: translate.ErrFutureRev} {
		_, err := a.HashKV(t.Context(), a.any, &pb.HashKVRequest{Revision: revision})
		refused(t, err, want)
	}
	if got := hash(a, -1); got.HashRevision != -1 || got.Header.Revision != int64(last) {
		t.Errorf("below 0: %v", got)
	}
	if hash(a, 5).Hash == 0 {
		t.Error("at the compacted revision itself there is no hash")
	}
	if do(t, a, a.Hash, &pb.HashRequest{}).Hash == do(t, b, b.Hash, &pb.HashRequest{}).Hash {
		t.Error("the hash of all state does not show the key that only one member has")
	}
}
