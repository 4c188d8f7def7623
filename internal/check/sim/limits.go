package sim

import (
	"cmp"
	"maps"
	"slices"

	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
)

// In part of the runs an operator sets the quota, and raises and lifts alarms, all the time. What they
// refuse is no part of the history; that a command is refused, and changes nothing, on each node alike,
// shows in the results and the state that are compared after each command.

// limited tells whether a code says that a quota or an alarm has refused a command.
func limited(code kv.Code) bool {
	return code == kv.CodeQuota || code == kv.CodeNoSpace || code == kv.CodeCorrupt
}

// limited tells whether a quota or an alarm has refused the operation.
func (r *record) limited() bool { return limited(replyCodes[r.reply.GetCode()]) }

// limit makes a change of the quota or of the alarms at some node, and then others. Nobody waits for the
// result. When the faults have ended it takes all back.
func (w *world) limit() {
	if w.closing {
		return
	}
	if w.healed {
		for _, m := range w.lifts() {
			w.ask(m)
		}
	} else {
		w.ask(w.drawLimit())
	}
	pause := milliseconds(400)
	if w.healed { // the leader may be too busy
		pause = milliseconds(40)
	}
	w.after(w.upTo(pause), w.limit)
}

func (w *world) drawLimit() state.More {
	if w.chance(0.4) {
		quota := pick(w.rand, 0, 0, 1, w.rand.Int64N(int64(10*(w.mix.Padding+50))))
		return state.More{Kind: state.KindQuota, Quota: quota}
	}
	lift := 0.8
	if w.mix.LongAlarms && w.check.truth.AlarmRaised(state.AlarmCorrupt) {
		lift = 0.1
	}
	if m := w.lifts(); len(m) > 0 && w.chance(lift) {
		return pick(w.rand, m...)
	}
	if w.check.truth.Version() < state.Version { // nobody proposes an alarm before
		return state.More{Kind: state.KindVersion, Version: 2 + w.rand.Uint64N(state.Version-1)}
	}
	alarm := state.Alarm{Member: w.rand.Uint64N(3), Kind: pick(w.rand, state.AlarmNoSpace, state.AlarmNoSpace, state.AlarmCorrupt, 0, 7)}
	return state.More{Kind: state.KindAlarm, Alarm: state.AlarmChange{Alarm: alarm, Lift: w.chance(0.2)}}
}

// lifts are the commands that take back what is in force.
func (w *world) lifts() (all []state.More) {
	raised, _ := w.check.truth.Alarms()
	list := slices.SortedFunc(maps.Keys(raised), func(a, b state.Alarm) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Member, b.Member))
	})
	for _, a := range list {
		all = append(all, state.More{Kind: state.KindAlarm, Alarm: state.AlarmChange{Alarm: a, Lift: true}})
	}
	if w.check.truth.Quota() > 0 {
		all = append(all, state.More{Kind: state.KindQuota})
	}
	return all
}

// ask lets some node execute a command of the cluster itself; when the faults have ended the leader.
func (w *world) ask(m state.More) {
	n := w.node(raft.NodeID(1 + w.rand.IntN(w.mix.Nodes())))
	if l := w.leader(); w.healed && l != nil {
		n = l
	}
	m.Internal = true
	n.awake(func() {
		if n.up() {
			n.submitOnly(more(m), w.chance(w.mix.Forward))
		}
	})
}

// birthQuota is the quota of a cluster that begins with one.
const birthQuota = 1 << 40

// firstCommand is rsm.Config.First of a server that is to set a quota where there is none.
func (n *node) firstCommand() []byte {
	if !n.w.mix.BirthQuota || n.quota() != 0 {
		return nil
	}
	return state.Codec{}.Append(nil, more(state.More{Kind: state.KindQuota, Quota: birthQuota, Internal: true}))
}

func (n *node) quota() int64 {
	switch m := n.machine.(type) {
	case *state.Machine:
		return m.Figures().Quota
	case withSnapshots:
		return m.m.Quota()
	}
	return 0
}

// born checks that a cluster which begins with a quota has it before any other command.
func (k *checker) born(first state.Command) {
	if k.w.mix.BirthQuota && (first.More == nil || first.More.Kind != state.KindQuota || first.More.Quota != birthQuota) {
		k.w.failf("first command", "the cluster is to begin with a quota, and begins with %s", naive.Text(first))
	}
}
