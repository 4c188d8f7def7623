package transport

import (
	"errors"
	"fmt"

	"balsa.example/raft"
)

// Errors of SendSnapshot, besides those of its context and of its data. The last two are also
// in PeerStatus.LastError.
var (
	// ErrUnknownPeer: the snapshot is for a node that is not a peer.
	ErrUnknownPeer = errors.New("transport: unknown peer")
	// ErrBusy: another snapshot is on its way to that peer.
	ErrBusy = errors.New("transport: another snapshot is being sent to this peer")
	// ErrClosed: the Transport was closed, or the peer removed.
	ErrClosed = errors.New("transport: closed")
	// ErrRefused: the other node refused the connection or the snapshot. Every *Refusal is
	// an ErrRefused.
	ErrRefused = errors.New("transport: refused")
	// ErrCorrupt: the bytes that came over a connection are not those that were sent, or
	// were not sent by a balsa node.
	ErrCorrupt = errors.New("transport: corrupt frame")
)

// errMismatch is the refusal of a connection by the rules of the handshake.
var errMismatch = errors.New("transport: handshake")

// Refusal is why a node does not talk to another one.
type Refusal struct {
	By     raft.NodeID // the node that refuses; not set by Handshake.Admit
	Code   Code
	Reason string
}

// Code says in a number why a node is refused, for programs to act on.
type Code uint64

const (
	accepted Code = iota
	// CodeMismatch: the nodes do not fit together, or Handshake.Admit gave no code.
	CodeMismatch
	// CodeNotYet: the node will be admitted later.
	CodeNotYet
	// CodeNotMember: the node that dialed is not a peer of the one that it dialed.
	CodeNotMember
	// CodeOtherGroup: the two have different values of Config.Group.
	CodeOtherGroup
	// CodeDuplicate: another process, which lives, speaks for the same node.
	CodeDuplicate

	// CodeApplication is the first of those that Handshake.Admit may use as it likes.
	CodeApplication Code = 64
)

func (r *Refusal) Error() string {
	if r.By == raft.None {
		return "transport: " + r.Reason
	}
	return fmt.Sprintf("transport: refused by %s: %s", r.By, r.Reason)
}

// Is makes every Refusal an ErrRefused.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

// isNotYet tells whether err is a Refusal that only says CodeNotYet.
func isNotYet(err error) bool {
	r := new(Refusal)
	return errors.As(err, &r) && r.Code == CodeNotYet
}
