package member

import (
	"context"
	"errors"
	"time"

	"balsa.example/raft"
)

// How long the steps of a stop may take.
const (
	handoverTimeout   = time.Second
	disconnectTimeout = time.Second
)

// Leader is what HandOver needs of an rsm.Node.
type Leader interface {
	Leads() bool
	TransferLeadership(ctx context.Context, to raft.NodeID) error
}

// HandOver lets another member lead if this one does, so that the others need no election. It
// waits for that until ctx ends, for a second at most.
func (m *Member) HandOver(ctx context.Context, node Leader) {
	if len(m.roster().Members) == 1 || !node.Leads() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handoverTimeout)
	defer cancel()
	to := m.readyVoter(ctx)
	err := node.TransferLeadership(ctx, to)
	if to != raft.None && (errors.Is(err, raft.ErrNotCaughtUp) || errors.Is(err, raft.ErrNotVoter)) {
		// The leader knows of a voter what that one does not: another may do.
		err = node.TransferLeadership(ctx, raft.None)
	}
	if err != nil {
		m.log.Info("stopping as leader, nobody took over", "error", err)
	}
}

// StopReplica ends all connections, and the replica, which stop ends. What a connection delivers
// may wait for the replica: a snapshot that arrives waits for one that is being written, which stop
// breaks off. So stop does not wait for the connections until ctx ends, but for a second at most.
func (m *Member) StopReplica(ctx context.Context, stop func()) {
	disconnected := make(chan struct{})
	go func() {
		m.Disconnect()
		close(disconnected)
	}()
	timer := time.NewTimer(disconnectTimeout)
	defer timer.Stop()
	select {
	case <-disconnected:
	case <-timer.C:
	case <-ctx.Done():
	}
	stop()
	<-disconnected
}
