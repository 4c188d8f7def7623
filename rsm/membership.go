package rsm

import (
	"context"
	"fmt"

	"balsa.example/raft"
)

// configurations are the two that are of interest outside of the loop.
type configurations struct {
	version           uint64
	latest, committed raft.Configuration
}

// ChangeConfiguration changes the members. It works on the leader only. edit gets the configuration
// in force, and returns the one that is to follow: see raft.Raft.ProposeConfiguration for what may.
// The loop calls edit, so it must not block. If edit returns what it got, there is no change, and
// nothing shows that this replica leads still.
//
// It returns when the change is complete, with the configuration that is in force then. Of these
// errors it is certain that nothing has changed and nothing will: ErrWrongLeader, ErrBusy,
// raft.ErrTransferring, raft.ErrNotReady, raft.ErrChangePending, raft.ErrNotCaughtUp,
// raft.ErrBadConfiguration, and what edit returned. With any other, a context's included, the
// change may have been made, or may be made yet.
func (n *Node[Op, Result]) ChangeConfiguration(ctx context.Context, edit func(raft.Configuration) (raft.Configuration, error)) (raft.Configuration, error) {
	o := await(patience{ctx: ctx}, func(done waiter[Result]) {
		if err := n.inbox.addChange(Change[waiter[Result]]{Edit: edit, Waiter: done}); err != nil {
			done(outcome[Result]{err: err})
		}
	})
	if o.err != nil {
		return raft.Configuration{}, fmt.Errorf("change the members: %w", o.err)
	}
	return *o.configuration, nil
}

// Configuration returns the latest configuration in this replica's log, which counts although it
// may be taken back, and the committed one. They may be older than those of the leader. A replica
// that joins has none at first.
func (n *Node[Op, Result]) Configuration() (latest, committed raft.Configuration) {
	c := n.configurations.Load()
	return c.latest, c.committed
}

// noteConfigurations tells those who want to know of the configurations when one has changed. The
// loop calls it, and Start before there is a loop.
func (n *Node[Op, Result]) noteConfigurations() {
	was := n.configurations.Load()
	latest, committed, version := n.replica.Configurations()
	if was != nil && was.version == version {
		return
	}
	n.configurations.Store(&configurations{version, latest, committed})
	if was != nil && latest.Equal(was.latest) && committed.Equal(was.committed) {
		return
	}
	n.snapshotErrors.Range(func(id, _ any) bool {
		if !latest.Contains(id.(raft.NodeID)) {
			n.snapshotErrors.Delete(id)
		}
		return true
	})
	n.cfg.Logger.Info("members", "id", n.cfg.ID, "latest", latest.String(), "committed", committed.String())
	if n.cfg.OnConfiguration != nil {
		n.cfg.OnConfiguration(latest, committed)
	}
}
