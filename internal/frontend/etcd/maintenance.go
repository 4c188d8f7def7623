package etcd

import (
	"context"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
)

var maintenanceMethods = []Method{
	unary("/etcdserverpb.Maintenance/Alarm", User, (*Face).Alarm),
	unary("/etcdserverpb.Maintenance/Status", User, (*Face).Status),
	unary("/etcdserverpb.Maintenance/Defragment", Admin, (*Face).Defragment),
	unary("/etcdserverpb.Maintenance/Hash", Admin, (*Face).Hash),
	unary("/etcdserverpb.Maintenance/HashKV", Admin, (*Face).HashKV),
	stream[pb.SnapshotRequest]("/etcdserverpb.Maintenance/Snapshot", Admin, false, (*Face).Snapshot),
	unary("/etcdserverpb.Maintenance/MoveLeader", Admin, (*Face).MoveLeader),
	unary("/etcdserverpb.Maintenance/Downgrade", Admin, (*Face).Downgrade),
}

// Alarm lists alarms, raises one or lifts one. Those that balsa has raised by itself end with their cause; the
// one of the quota can be lifted as well. A change answers with the alarm, or with none where nothing was to be
// lifted.
func (f *Face) Alarm(ctx context.Context, c *Caller, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if r.Action != pb.AlarmRequest_GET { // is for the role root, as in etcd
		if err := f.access.Require(ctx, c.user, true); err != nil {
			return nil, failed(err, translate.ReadFailed)
		}
	}
	if err := f.fresh(ctx); err != nil {
		return nil, err
	}
	status := f.cfg.Member.Status()
	if r.Action == pb.AlarmRequest_GET {
		return &pb.AlarmResponse{Header: f.header(), Alarms: status.Alarms(f.cfg.MemberID, r.Alarm)}, nil
	}
	command, err := status.AlarmCommand(f.cfg.MemberID, r)
	if err != nil {
		return nil, err
	}
	resp := &pb.AlarmResponse{}
	if command != nil {
		result, err := f.submit(ctx, c, *command)
		if err != nil {
			return nil, err
		}
		if resp.Alarms, err = translate.AlarmsChanged(r, result.Code); err != nil {
			return nil, err
		}
	}
	resp.Header = f.header()
	return resp, nil
}

// Status describes this member, whether there is a leader or not.
func (f *Face) Status(context.Context, *Caller, *pb.StatusRequest) (*pb.StatusResponse, error) {
	status := f.cfg.Member.Status()
	return translate.StatusResponse(f.header(), &status, Version, StorageVersion), nil
}

// Defragment has nothing to do: files that are mostly garbage are rewritten in the background. As in
// etcd, its answer has no header.
func (f *Face) Defragment(context.Context, *Caller, *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return &pb.DefragmentResponse{}, nil
}

// Hash is a hash of all replicated state of this member.
func (f *Face) Hash(context.Context, *Caller, *pb.HashRequest) (*pb.HashResponse, error) {
	h, began := f.header(), time.Now()
	resp := &pb.HashResponse{Header: h, Hash: uint32(f.cfg.Node.Store().Hash())}
	f.cfg.Requests.Hashed(false, time.Since(began))
	return resp, nil
}

// HashKV is a hash of the history of this member up to a revision, from the one to which it is
// compacted. Members that have both revisions in common have the same hash.
func (f *Face) HashKV(_ context.Context, _ *Caller, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	began := time.Now()
	h, err := translate.HashKV(f.cfg.Node.Store(), r.Revision)
	if err != nil {
		return nil, err
	}
	f.cfg.Requests.Hashed(true, time.Since(began))
	resp := &pb.HashKVResponse{Header: f.header(), Hash: h.Hash, CompactRevision: int64(h.Compacted), HashRevision: int64(h.Revision)}
	if r.Revision < 0 {
		resp.HashRevision = r.Revision
	}
	return resp, nil
}

// MoveLeader lets another member lead. Only the leader can.
func (f *Face) MoveLeader(ctx context.Context, _ *Caller, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	if uint64(f.cfg.Node.Leader()) != f.cfg.MemberID {
		return nil, translate.ErrNotLeader
	}
	limited, cancel := context.WithTimeout(ctx, f.requestTimeout())
	defer cancel()
	if err := f.cfg.Member.MoveLeader(limited, r.TargetID); err != nil {
		return nil, failed(err, translate.MoveFailed)
	}
	return &pb.MoveLeaderResponse{Header: f.header()}, nil
}

// Downgrade begins nothing, so there is nothing to cancel, which is no error in etcd either.
func (f *Face) Downgrade(_ context.Context, _ *Caller, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	if err := translate.Downgrade(r, downgradeTarget); err != nil {
		return nil, err
	}
	return &pb.DowngradeResponse{Header: f.header(), Version: strings.TrimSuffix(ClusterVersion, ".0")}, nil
}
