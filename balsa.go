package balsa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/member"
	"balsa.example/rsm"
	"balsa.example/wal"
)

// ErrHangs: Stop has not waited for a call of the disk or of the state machine that did not
// end. The process should end.
var ErrHangs = errors.New("stopped without waiting for the disk, which does not answer")

// Node is one member of a cluster, with its replica of the state machine. Its methods may
// be called by any goroutine.
type Node[Op, Result any] struct {
	cfg    Config[Op, Result]
	log    *slog.Logger
	member *member.Member
	node   atomic.Pointer[rsm.Node[Op, Result]] // nil before ready

	ctx      context.Context // ends when Stop begins
	cancel   context.CancelFunc
	ready    chan struct{} // closed when node is there
	failed   chan struct{} // closed when the member cannot go on
	failOnce sync.Once     // guards failed and err
	err      error
	ran      chan struct{} // closed when run has returned
	stopOnce sync.Once
	stopped  chan struct{} // closed when nothing runs any more
}

// Start runs a member. When it returns, the member listens for the others. It takes part
// when Ready is closed: at once if its directory has taken part before, else when all
// members have been reached once. On error nothing runs. The error is member.ErrConfig for a
// mistake in cfg, one of the other errors of package member for a directory that is not this
// member's or not in order, and rsm.ErrDiverged for that of a replica that diverged.
func Start[Op, Result any](cfg Config[Op, Result]) (*Node[Op, Result], error) {
	cfg, cluster, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node[Op, Result]{
		cfg: cfg, log: cluster.Logger(cfg.Logger, cfg.Name),
		ready: make(chan struct{}), failed: make(chan struct{}), ran: make(chan struct{}), stopped: make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.member, err = member.Open(member.Config{
		Name: cfg.Name, Cluster: cluster, Dir: cfg.Dir, MustExist: cfg.MustExist,
		Join: cfg.Join, Learner: cfg.Learner, Peers: cfg.peers(),
		Listen: cfg.Listen, Listener: cfg.listener, TLS: cfg.TLS, SecretFile: cfg.SecretFile,
		ElectionTimeout: cfg.ElectionTimeout,
		Log:             wal.Options{FS: cfg.fs, Logger: n.log, NoSnapshots: cfg.Durable != nil},
		Logger:          n.log,
	})
	if err != nil {
		n.cancel()
		return nil, err
	}
	go n.run()
	return n, nil
}

// run brings the replica up, and watches it.
func (n *Node[Op, Result]) run() {
	defer close(n.ran)
	if err := n.member.AwaitAdmission(n.ctx); err != nil {
		if n.ctx.Err() == nil {
			n.fail(err)
		}
		return
	}
	cfg := n.cfg.settings()
	cfg.ID, cfg.Logger, cfg.OnConfiguration = n.member.ID(), n.log, n.member.OnConfiguration
	cfg.Log, cfg.Transport = n.member.Log(), n.member.Transport()
	if cfg.Durable == nil {
		cfg.Snapshots = n.member.Log()
	}
	node, err := rsm.Start(cfg)
	if err != nil {
		n.fail(fmt.Errorf("start replica: %w", n.member.Explain(err)))
		return
	}
	n.member.Start(node)
	n.node.Store(node)
	close(n.ready)
	select {
	case <-node.Done():
		n.ended(node)
	case <-n.member.Failed():
		n.fail(n.member.Err())
	case <-n.ctx.Done():
	}
}

// ended notes why a replica that has stopped failed, if it did.
func (n *Node[Op, Result]) ended(node *rsm.Node[Op, Result]) {
	if err := node.Err(); err != nil && n.Err() == nil {
		n.fail(fmt.Errorf("replica stopped: %w", n.member.Explain(err)))
	}
}

func (n *Node[Op, Result]) fail(err error) {
	n.failOnce.Do(func() {
		n.err = err
		close(n.failed)
		n.log.Error("cannot go on", "error", err)
	})
}

// Ready is closed when the member takes part in its cluster; never, if it fails before. Nobody
// needs to wait for it: Submit and Read do.
func (n *Node[Op, Result]) Ready() <-chan struct{} { return n.ready }

// Failed is closed when the member cannot go on: its disk has failed, the others do not
// admit it, or its state has diverged from theirs. Err tells why. Stop it then.
func (n *Node[Op, Result]) Failed() <-chan struct{} { return n.failed }

// Err is why the member failed, nil if it did not.
func (n *Node[Op, Result]) Err() error {
	select {
	case <-n.failed:
		return n.err
	default:
		return nil
	}
}

// Member is this member's place in the cluster. By it members are added and removed.
func (n *Node[Op, Result]) Member() *member.Member { return n.member }

// Replica is the replica of the state machine, for all that a Node does not offer itself;
// nil before Ready.
func (n *Node[Op, Result]) Replica() *rsm.Node[Op, Result] { return n.node.Load() }

// replica waits until there is one. After a failure it says why, rather than what the
// replica would: that it has stopped. If ctx ends before there is one, nothing was asked of
// anybody, which ErrWrongLeader says, as it does when no leader becomes known in time.
func (n *Node[Op, Result]) replica(ctx context.Context) (*rsm.Node[Op, Result], error) {
	if err := n.Err(); err != nil {
		return nil, err
	}
	select {
	case <-n.ready:
		return n.node.Load(), nil
	case <-n.failed:
		return nil, n.err
	case <-n.ctx.Done():
		return nil, rsm.ErrStopped
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", &rsm.NotLeaderError{}, ctx.Err())
	}
}

// stopTimeout bounds Stop.
const stopTimeout = 6 * time.Second

// Stop ends the member. A leader first hands over, so that the others need no election.
// Operations in progress end with rsm.ErrStopped. When Stop returns, nothing of the member
// runs any more, and its directory is free, unless a call of the disk or of the state
// machine hangs: then it returns ErrHangs after six seconds.
func (n *Node[Op, Result]) Stop() error {
	n.stopOnce.Do(func() {
		go func() {
			n.stop()
			close(n.stopped)
		}()
	})
	select {
	case <-n.stopped:
		return nil
	case <-time.After(n.cfg.stopTimeout):
		return ErrHangs
	}
}

func (n *Node[Op, Result]) stop() {
	n.cancel()
	<-n.ran // from here on it is settled whether there is a replica
	ctx, node := context.Background(), n.node.Load()
	if node != nil {
		n.member.HandOver(ctx, node)
	}
	n.member.StopReplica(ctx, func() {
		if node != nil {
			node.Stop()
			n.ended(node) // it may have failed since run has stopped to watch it
		}
	})
	if err := n.member.Close(); err != nil {
		n.log.Warn("close data directory", "error", err)
	}
}
