//balsa:pure

package translate

import (
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
	"balsa.example/state"
)

// Alarms are those of a type that the member with the id self knows of; NONE: of all types. Those that requests
// have raised come first. The leader speaks for the quota, which is the cluster's: an alarm of etcd is of a member.
func (s *Status) Alarms(self uint64, of pb.AlarmType) (alarms []*pb.AlarmMember) {
	add := func(id uint64, a pb.AlarmType) {
		same := func(other *pb.AlarmMember) bool { return other.MemberID == id && other.Alarm == a }
		if (of == pb.AlarmType_NONE || of == a) && !slices.ContainsFunc(alarms, same) {
			alarms = append(alarms, &pb.AlarmMember{MemberID: id, Alarm: a})
		}
	}
	for _, a := range s.Raised {
		add(a.Member, pb.AlarmType(a.Kind))
	}
	if s.AtQuota || s.LowSpace {
		add(cmp.Or(s.Leader, self), pb.AlarmType_NOSPACE)
	}
	for _, id := range s.Corrupt {
		add(id, pb.AlarmType_CORRUPT)
	}
	return alarms
}

// AlarmCommand is the command of a request that changes alarms, nil if there is nothing to change.
func (s *Status) AlarmCommand(self uint64, r *pb.AlarmRequest) (*state.Command, error) {
	change := state.AlarmChange{Alarm: state.Alarm{Member: r.MemberID, Kind: state.AlarmKind(r.Alarm)}}
	switch r.Action {
	case pb.AlarmRequest_ACTIVATE:
		if r.Alarm == pb.AlarmType_NONE {
			return nil, nil
		}
	case pb.AlarmRequest_DEACTIVATE:
		change.Lift = true
		ofQuota := s.AtQuota && r.Alarm == pb.AlarmType_NOSPACE && (r.MemberID == 0 || r.MemberID == cmp.Or(s.Leader, self))
		switch {
		case slices.Contains(s.Raised, change.Alarm):
		case ofQuota:
			change.Member = 0
		default:
			return nil, nil
		}
	default:
		return nil, &Error{InvalidArgument, "etcdserver: unknown alarm action"}
	}
	return &state.Command{More: &state.More{Kind: state.KindAlarm, Alarm: change}}, nil
}

// AlarmsChanged are the alarms in the answer to a request that changed them. Somebody else may have lifted the
// one to lift meanwhile.
func AlarmsChanged(r *pb.AlarmRequest, code kv.Code) ([]*pb.AlarmMember, error) {
	if code == kv.CodeNoAlarm {
		return nil, nil
	}
	return []*pb.AlarmMember{{MemberID: r.MemberID, Alarm: r.Alarm}}, Refusal(code)
}
