package native

import (
	"context"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
)

// Alarms implements api.KVServer. The NOSPACE of the quota is that of no member.
func (s *Server) Alarms(ctx context.Context, req *api.AlarmsRequest) (*api.AlarmsReply, error) {
	r, u, err := s.require(ctx, req.Lift != nil)
	if err != nil {
		return nil, err
	}
	if l := req.Lift; l != nil {
		change := state.AlarmChange{Alarm: state.Alarm{Member: l.MemberId, Kind: state.AlarmKind(l.Kind)}, Lift: true}
		c := state.Command{More: &state.More{Kind: state.KindAlarm, Alarm: change, User: u.Name, UserStamp: u.Stamp}}
		result, _, err := r.Node.SubmitAnywhere(ctx, c)
		if err == nil && result.Code != kv.CodeNoAlarm { // somebody else may have lifted it
			err = result.Err()
		}
		if err != nil {
			return nil, s.refusal(err)
		}
	}
	if _, err := r.Node.ReadAnywhere(ctx, raft.ReadByIndex); err != nil {
		return nil, s.refusal(err)
	}
	reply := new(api.AlarmsReply)
	quota := state.Alarm{Kind: state.AlarmNoSpace}
	raised := r.State.Alarms()
	for _, a := range raised {
		reply.Alarms = append(reply.Alarms, &api.RaisedAlarm{MemberId: a.Member, Kind: uint32(a.Kind)})
	}
	if r.State.Figures().AtQuota() && (len(raised) == 0 || raised[0] != quota) { // they are in order
		reply.Alarms = append(reply.Alarms, &api.RaisedAlarm{Kind: uint32(quota.Kind)})
	}
	return reply, nil
}
