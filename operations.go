package balsa

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// Submit replicates op, and returns what DoOp returned for it on this member. Any member
// takes it, and forwards it to the leader; before Ready, and while no leader is known, it
// waits. It returns when the outcome is known, or when ctx ends. After rsm.ErrWrongLeader,
// rsm.ErrBusy, rsm.ErrTooLarge and rsm.ErrAlarm op was not executed, and never will be;
// after any other error it may be. See package rsm.
func (n *Node[Op, Result]) Submit(ctx context.Context, op Op) (result Result, err error) {
	node, err := n.replica(ctx)
	if err != nil {
		return result, err
	}
	result, _, err = node.SubmitAnywhere(ctx, op)
	return result, err
}

// Read returns nil when this member's state machine reflects every operation that was
// acknowledged, by any member, before Read was called. Then the program may look at the
// state itself, with the locks that keep DoOp off.
func (n *Node[Op, Result]) Read(ctx context.Context) error {
	node, err := n.replica(ctx)
	if err != nil {
		return err
	}
	mode := raft.ReadByIndex
	if n.cfg.LeaseReads {
		mode = raft.ReadByLease
	}
	_, err = node.ReadAnywhere(ctx, mode)
	return err
}

// AwaitLeaderChange waits until the leader that this member knows is another one than known,
// and returns its name; an empty name stands for no leader. Called with what it returned last
// it tells a program when to begin and to end what only the leader should do. Another member
// may lead already when it returns: what must not be done twice belongs into an operation.
func (n *Node[Op, Result]) AwaitLeaderChange(ctx context.Context, known string) (leader string, err error) {
	from := raft.None
	if known != "" {
		id, ok := n.member.Named(known)
		if !ok {
			return "", fmt.Errorf("await change of leader: there is no member %q", known)
		}
		from = id
	}
	node, err := n.replica(ctx)
	if err != nil {
		return "", err
	}
	id, err := node.AwaitLeaderChange(ctx, from)
	if err != nil || id == raft.None {
		return "", err
	}
	return n.member.Cluster().NameOf(id), nil
}

// TransferLeadership hands leadership to the member of that name, or to the one that has
// most of the log if name is empty. It must be called at the leader.
func (n *Node[Op, Result]) TransferLeadership(ctx context.Context, name string) error {
	to := raft.None
	if name != "" {
		id, ok := n.member.Named(name)
		if !ok {
			return fmt.Errorf("transfer leadership: there is no member %q", name)
		}
		to = id
	}
	node, err := n.replica(ctx)
	if err != nil {
		return err
	}
	return node.TransferLeadership(ctx, to)
}

// Status is a picture of a member at one moment.
type Status struct {
	// Replica is empty before Ready and after Stop.
	Replica rsm.Status
	Name    string
	// Leader is the name of the leader; empty if none is known.
	Leader string
	// Waiting says what a member with a new directory waits for; empty after that.
	Waiting string
	// ClusterID is the identity that was drawn when the cluster began; 0 before.
	ClusterID uint64
	Peers     []Peer // the other members, by name
}

// Peer is another member as this one sees it.
type Peer struct {
	Name, Address string
	// Voter: it votes, and is no learner.
	Voter bool
	// Connected: messages can be sent to it.
	Connected bool
	// LastError is why the last attempt to connect failed; empty while Connected.
	LastError string
}

// Status returns the present state. It asks no other member.
func (n *Node[Op, Result]) Status() Status {
	cluster := n.member.Cluster()
	s := Status{Name: n.cfg.Name, ClusterID: n.member.ClusterID(), Waiting: n.member.Waiting()}
	if node := n.node.Load(); node != nil {
		s.Replica = node.Status()
		if leader := s.Replica.Leader; leader != raft.None {
			s.Leader = cluster.NameOf(leader)
		}
	}
	for _, one := range n.member.Known().All {
		if one.ID == n.member.ID() {
			continue
		}
		p := Peer{Name: one.Name, Address: strings.Join(one.Peers, ","), Voter: one.Voter}
		if seen, ok := n.member.Peer(one.ID); ok {
			p.Connected, p.LastError = seen.Connected, seen.LastError
		}
		s.Peers = append(s.Peers, p)
	}
	slices.SortFunc(s.Peers, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	return s
}
