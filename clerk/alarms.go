package clerk

import (
	"context"
	"fmt"

	"balsa.example/api"
)

// AlarmAdmin is an interface that a Caller may implement too. The Clerk's own does.
type AlarmAdmin interface {
	Alarms(ctx context.Context, address string, req *api.AlarmsRequest) (*api.AlarmsReply, error)
}

// Alarm lasts until it is lifted. Somebody has raised it by the etcd API, for the member with an id; the
// AlarmNoSpace of the member 0 may be that of the quota, which has refused a write.
type Alarm struct {
	Member uint64
	Kind   AlarmKind
}

// AlarmKind is what an alarm is about. The numbers are etcd's; others refuse nothing.
type AlarmKind uint32

const (
	// AlarmNoSpace refuses what adds data, see ErrNoSpace.
	AlarmNoSpace AlarmKind = 1
	// AlarmCorrupt refuses all writes, see ErrCorrupt.
	AlarmCorrupt AlarmKind = 2
)

func (k AlarmKind) String() string {
	switch k {
	case AlarmNoSpace:
		return "NOSPACE"
	case AlarmCorrupt:
		return "CORRUPT"
	}
	return fmt.Sprint(uint32(k))
}

// Alarms returns the alarms that are raised.
func (c *Clerk) Alarms(ctx context.Context) ([]Alarm, error) {
	return c.alarms(ctx, "list alarms", new(api.AlarmsRequest))
}

// LiftAlarm lifts an alarm, and returns those that are left. One that is not raised is lifted already. The
// quota raises its alarm again when it refuses another write.
func (c *Clerk) LiftAlarm(ctx context.Context, a Alarm) ([]Alarm, error) {
	return c.alarms(ctx, "lift an alarm", &api.AlarmsRequest{Lift: &api.RaisedAlarm{MemberId: a.Member, Kind: uint32(a.Kind)}})
}

// alarms asks one server after the other: to lift an alarm twice does no harm.
func (c *Clerk) alarms(ctx context.Context, what string, req *api.AlarmsRequest) (all []Alarm, err error) {
	admin, ok := c.caller.(AlarmAdmin)
	if !ok {
		return nil, fmt.Errorf("%s: %w", what, errNoAdmin)
	}
	reply, _, err := anywhere(ctx, c, func(_ UserAdmin, address string) (*api.AlarmsReply, error) {
		return admin.Alarms(ctx, address, req)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	for _, a := range reply.Alarms {
		all = append(all, Alarm{a.GetMemberId(), AlarmKind(a.GetKind())})
	}
	return all, nil
}

// Alarms implements AlarmAdmin.
func (n *network) Alarms(ctx context.Context, address string, req *api.AlarmsRequest) (*api.AlarmsReply, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	return unary(ctx, l, func(ctx context.Context, kv api.KVClient) (*api.AlarmsReply, error) { return kv.Alarms(ctx, req) })
}
