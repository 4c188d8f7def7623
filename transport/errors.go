package transport

import (
	"errors"
	"fmt"
	"io/fs"

	"balsa.example/raft"
)

// Errors of SendSnapshot, Fetch and Call, besides those of their context and of the data. ErrRefused and
// ErrCorrupt are also in PeerStatus.LastError.
var (
	// ErrUnknownPeer: the other node is not a peer.
	ErrUnknownPeer = errors.New("transport: unknown peer")
	// ErrBusy: another snapshot is on its way to that peer, or two fetches from it.
	ErrBusy = errors.New("transport: too much is on its way to or from this peer already")
	// ErrClosed: the Transport or the reader of a fetch was closed, or the peer removed.
	ErrClosed = errors.New("transport: closed")
	// ErrRefused: the other node refused the connection, the snapshot or the fetch. Every
	// *Refusal is an ErrRefused.
	ErrRefused = errors.New("transport: refused")
	// ErrNotCalled: the connection for a call was not made, so the other node has not seen the request.
	ErrNotCalled = errors.New("transport: not called")
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
	// CodeNoSuchFile: the node that was asked has no file of that name. A Refusal with it is
	// fs.ErrNotExist too.
	CodeNoSuchFile
	// CodeBusy: the node that was called serves as many calls as it may.
	CodeBusy

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
func (r *Refusal) Is(target error) bool {
	return target == ErrRefused || target == fs.ErrNotExist && r.Code == CodeNoSuchFile
}

// isNotYet tells whether err is a Refusal that only says CodeNotYet.
func isNotYet(err error) bool {
	r := new(Refusal)
	return errors.As(err, &r) && r.Code == CodeNotYet
}
