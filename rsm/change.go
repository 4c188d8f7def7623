//balsa:pure

package rsm

import (
	"errors"
	"maps"
	"slices"

	"balsa.example/raft"
)

// Change asks the leader to change the members. On another replica it is completed with
// ErrWrongLeader at once. It ends well when the change is complete: the configuration that is
// committed and executed here is not joint any more.
type Change[W any] struct {
	// Edit returns what is to follow the latest configuration, which is committed and not joint, or
	// an error, with which the Change then ends. If it returns the same, nothing is proposed.
	Edit   func(raft.Configuration) (raft.Configuration, error)
	Waiter W
}

// changes are those that were proposed and have not ended. At most one of them is of the present
// leadership: the core takes one at a time. Others may wait for what became of an entry of an
// earlier one.
type changes[W any] []change[W]

type change[W any] struct {
	term      raft.Term
	index     raft.Index
	committed bool // only the end of its joint phase may be missing: any leader brings that about
	waiter    W
}

// maxChanges bounds the changes that wait.
const maxChanges = 16

// change proposes a change.
func (r *Replica[W]) change(c Change[W]) {
	switch {
	case r.core.Role() != raft.Leader || r.witness:
		r.complete(c.Waiter, r.notLeader())
		return
	case r.core.ChangePending():
		r.complete(c.Waiter, raft.ErrChangePending)
		return
	case len(r.changes) >= maxChanges:
		r.complete(c.Waiter, ErrBusy)
		return
	}
	latest, _, _ := r.core.Configurations()
	next, err := c.Edit(latest)
	switch {
	case err != nil:
		r.complete(c.Waiter, err)
		return
	case next.Equal(latest):
		r.completeChange(c.Waiter, latest)
		return
	}
	switch index, err := r.core.ProposeConfiguration(next); {
	case err == nil:
		r.changes = append(r.changes, change[W]{term: r.core.Term(), index: index, waiter: c.Waiter})
	case errors.Is(err, raft.ErrBusy):
		r.complete(c.Waiter, ErrBusy)
	default:
		r.complete(c.Waiter, err)
	}
}

func (r *Replica[W]) completeChange(w W, c raft.Configuration) {
	r.completions = append(r.completions, Completion[W]{Waiter: w, Configuration: &c})
}

// settleChanges ends those changes whose entry can be committed no more, since the entry at index,
// of the given term, is: see submits.committed. fate returns nil if the change is committed, and
// otherwise its end.
func (r *Replica[W]) settleChanges(index raft.Index, term raft.Term, fate func(change[W]) error) {
	r.changes = slices.DeleteFunc(r.changes, func(c change[W]) bool {
		if c.committed || c.index > index && c.term >= term {
			return false
		}
		err := fate(c)
		if err != nil {
			r.complete(c.waiter, err)
		}
		return err != nil
	})
	for i := range r.changes {
		r.changes[i].committed = r.changes[i].committed || r.changes[i].index <= index
	}
}

// releaseChanges ends the changes that are complete, and executed here.
func (r *Replica[W]) releaseChanges() {
	if len(r.changes) == 0 {
		return
	}
	conf := r.core.ConfigurationAt(r.applied)
	if conf.Voters.IsJoint() {
		return
	}
	r.changes = slices.DeleteFunc(r.changes, func(c change[W]) bool {
		done := c.committed && c.index <= r.applied
		if done {
			r.completeChange(c.waiter, conf)
		}
		return done
	})
}

// Configurations are those of raft.Raft.Configurations.
func (r *Replica[W]) Configurations() (latest, committed raft.Configuration, version uint64) {
	return r.core.Configurations()
}

// noteConfigurations forgets what is kept of members that are none any more.
func (r *Replica[W]) noteConfigurations() {
	if r.core.ConfigurationsVersion() == r.configurationsVersion {
		return
	}
	var latest, committed raft.Configuration
	latest, committed, r.configurationsVersion = r.core.Configurations()
	gone := func(id raft.NodeID) bool { return !latest.Contains(id) && !committed.Contains(id) }
	maps.DeleteFunc(r.snapshotsSent, func(id raft.NodeID, _ raft.Index) bool { return gone(id) })
	maps.DeleteFunc(r.comparison.divergedPeers, func(id raft.NodeID, _ bool) bool { return gone(id) })
	for _, id := range slices.Sorted(maps.Keys(r.keptStreams)) {
		if gone(id) {
			delete(r.keptStreams, id)
			r.closeStreams = append(r.closeStreams, id)
		}
	}
}

// removedTimeouts bounds, in election timeouts, for how long a replica that was removed goes on for
// those who wait for it.
const removedTimeouts = 4

// wasRemoved tells whether this replica has to stop because it is no member any more: it has
// executed that, has handed over what it led, and nobody waits for it. A Submit whose entry is
// committed waits until that is executed. A read does not count: it can be asked for elsewhere.
func (r *Replica[W]) wasRemoved() bool {
	at := r.core.Removed()
	executed, all := r.applied >= at, r.applied == r.applying
	if r.witness { // it waits with that for others
		executed, all = true, true
	}
	if at == 0 || !executed || r.core.Role() == raft.Leader {
		r.removedTicks = 0
		return false
	}
	waits := r.submits.len() + len(r.forwards.list) + len(r.changes)
	return waits == 0 && all || r.removedTicks > removedTimeouts*r.core.ElectionTimeoutTicks()
}
