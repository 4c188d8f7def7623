package rsm

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"balsa.example/raft"
)

// leadership is what a replica knows of the leader.
type leadership struct {
	term         raft.Term
	role         raft.Role
	leader       raft.NodeID // raft.None: not known
	transferring raft.NodeID // to whom this leader hands over; raft.None: to nobody
}

func leadershipOf(core *raft.Raft) leadership {
	return leadership{term: core.Term(), role: core.Role(), leader: core.Leader(), transferring: core.Transferring()}
}

// leadershipWatch tells goroutines of changes of the leadership. The loop sets it.
type leadershipWatch struct {
	mu      sync.Mutex
	current leadership
	changed chan struct{} // closed at the next change; nil: no goroutine has asked for it
}

func (w *leadershipWatch) set(l leadership) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l == w.current {
		return
	}
	w.current = l
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// get returns the leadership, and a channel that is closed when it changes.
func (w *leadershipWatch) get() (leadership, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.current, w.changed
}

// known tells whether there is a leader.
func (l leadership) known() bool { return l.leader != raft.None }

// awaitLeadership waits until enough returns true. The error is that of patience, or ErrStopped.
func (n *Node[Op, Result]) awaitLeadership(p patience, enough func(leadership) bool) error {
	for {
		current, changed := n.leadership.get()
		if enough(current) {
			return nil
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return p.err()
		case <-p.late:
			return p.err()
		case <-n.stop:
			return ErrStopped
		}
	}
}

// Leader returns the leader that this replica knows: itself, if it leads; raft.None if it knows
// none.
func (n *Node[Op, Result]) Leader() raft.NodeID {
	l, _ := n.leadership.get()
	return l.leader
}

// AwaitLeader waits until this replica knows a leader, and returns that: itself, if it leads.
// The error is ctx's, or ErrStopped. When it returns the leader may have changed already.
func (n *Node[Op, Result]) AwaitLeader(ctx context.Context) (leader raft.NodeID, err error) {
	err = n.awaitLeadership(patience{ctx: ctx}, func(l leadership) bool {
		leader = l.leader
		return l.known()
	})
	return leader, err
}

// AwaitLeaderChange waits until the leader that this replica knows is another one than known,
// and returns that; raft.None stands for no leader. The error is ctx's, or ErrStopped. Called
// with what it returned last it tells of changes, of which it may miss those that last a
// moment.
func (n *Node[Op, Result]) AwaitLeaderChange(ctx context.Context, known raft.NodeID) (leader raft.NodeID, err error) {
	err = n.awaitLeadership(patience{ctx: ctx}, func(l leadership) bool {
		leader = l.leader
		return leader != known
	})
	return leader, err
}

// errLeadsAlready: there is nothing to transfer.
var errLeadsAlready = errors.New("this replica leads already")

// TransferLeadership hands leadership to the given replica, or with raft.None to the one
// whose log is the most complete. It returns nil when another leader is known, or at once if
// the given replica leads already. It returns raft.ErrTransferFailed when the transfer was given up
// after an election timeout, or ctx's error.
func (n *Node[Op, Result]) TransferLeadership(ctx context.Context, to raft.NodeID) error {
	begun := make(chan error, 1)
	err := n.inbox.ask(func(r *Replica[waiter[Result]]) {
		switch {
		case r == nil:
			begun <- ErrStopped
			return
		case to == n.cfg.ID && r.core.Role() == raft.Leader:
			begun <- errLeadsAlready
			return
		}
		err := r.TransferLeadership(to)
		n.leadership.set(leadershipOf(r.core)) // so that the end of this transfer is told from the time before it
		begun <- err
	})
	if err == nil {
		err = <-begun
	}
	switch {
	case err == errLeadsAlready:
		return nil
	case err != nil:
		return fmt.Errorf("transfer leadership: %w", err)
	}
	failed := false
	err = n.awaitLeadership(patience{ctx: ctx}, func(l leadership) bool {
		failed = l.role == raft.Leader && l.transferring == raft.None
		return failed || l.leader != raft.None && l.leader != n.cfg.ID
	})
	if failed {
		err = fmt.Errorf("transfer leadership: %w", raft.ErrTransferFailed)
	}
	return err
}
