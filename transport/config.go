package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"balsa.example/internal/dialing"
	"balsa.example/raft"
)

// Config says which node this is, where its peers are, and how they talk. ID, Peers and one
// of Listen and Listener are required.
//
// The functions in it are called from goroutines of the Transport, without locks. They must
// not call Close, and should return soon.
type Config struct {
	// ID is this node.
	ID raft.NodeID
	// Peers maps the other nodes to their addresses (host:port). One that has several, with
	// commas between them, is dialed at each in turn. An entry for ID is ignored. AddPeer and RemovePeer change it later.
	Peers map[raft.NodeID]string
	// Listen is the TCP address to listen on. If Listener is not nil it is used instead,
	// and Close closes it.
	Listen   string
	Listener net.Listener

	// Group keeps clusters apart: both ends of a connection must have the same one.
	Group uint64
	// TLS, if not nil, protects all connections, in both directions. For mutual TLS it
	// has Certificates, RootCAs, ClientCAs, and ClientAuth as RequireAndVerifyClientCert;
	// without ClientAuth whoever reaches the port can speak for a node. A missing
	// ServerName is taken from the peer's address. A GetConfigForClient overrides it for
	// connections that are accepted, as always in package tls.
	TLS *tls.Config
	// Authorize, if not nil, decides whether the other end of a TLS connection is node id,
	// by the certificates that it has shown. Before that it is told nothing about this
	// node, whichever of the two has dialed. If Authorize is nil, every certificate that
	// TLS accepts is good for every node.
	Authorize func(id raft.NodeID, state tls.ConnectionState) error
	// Handshake is what nodes tell each other and decide when they connect. The zero value
	// admits every peer.
	Handshake Handshake

	// OnCall, if not nil, answers the calls of other nodes (Transport.Call), and of strangers
	// (Stranger.Call). Its context ends when the caller needs no answer any more. It must check
	// what a stranger may ask. An error is told to the caller, as one of Handshake.Admit is.
	OnCall func(ctx context.Context, from Caller, request []byte) (answer []byte, err error)

	// OnSnapshot, if not nil, is told of a snapshot that begins to be sent to a peer, or received from it, and what it
	// returns is called with how that ended.
	OnSnapshot func(peer raft.NodeID, sent bool) (end func(error))

	// Gently, if not nil, calls f and returns when it has ended. It may let others go first meanwhile. It is for files that
	// are sent to a node that lacks much.
	Gently func(f func())

	// Dial, if not nil, makes the connections in place of TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	Limits Limits

	// onPeerUp, for tests, is called when a peer has admitted this node on a new connection.
	onPeerUp func(id raft.NodeID)
}

// Handshake is what a node tells its peers when they connect, beyond its ID and Group, and
// what it makes of what they tell. All of it is optional.
type Handshake struct {
	// Name is what this node is called in what people read, at most 256 bytes.
	Name string
	// Members are the names of the nodes of the Group. They are part of the reason when a
	// node of another Group is refused, so that people can compare.
	Members []string
	// Attributes are told to every peer as they are (PeerStatus.Attributes). At most 32 KiB.
	Attributes []byte

	// Card returns what this node shows for the other side's Admit. At most 28 KiB.
	Card func() []byte
	// Admit decides by its Card about every node of this Group that connects, whichever of
	// the two has dialed. The text of an error is told to that node; so is the Code, if
	// the error is a *Refusal. With CodeNotYet the other side decides about this node all
	// the same.
	Admit func(from raft.NodeID, card []byte) error
	// Unknown, if not nil, says why a node of this Group that is not in Peers is refused, which
	// may be for good or for now (CodeNotYet). By default, and where it returns nil, it is
	// CodeNotMember. card is what the node says of itself; it has proved no more than a stranger.
	Unknown func(from Caller, card []byte) error
	// OnRefused is called when a peer refuses this node for a new reason.
	OnRefused func(r *Refusal)
}

// Limits bounds what a Transport holds and how long it waits. A zero field stands
// for its default.
type Limits struct {
	// MaxFrame is the longest message, in bytes, without snapshot data. 64 MiB.
	MaxFrame int
	// QueueBytes and QueueMessages bound what waits to be sent to one peer. A
	// message of any size up to MaxFrame fits into an empty queue. 32 MiB and 4096.
	QueueBytes    int
	QueueMessages int
	// KeepaliveTimeout is how long nothing may arrive on a connection, and how long an
	// attempt to connect may take, before it is given up. Both sides of a connection keep
	// to the shorter of theirs. 1 s; at least 500 ms.
	//
	// Two nodes that can reach each other are connected within KeepaliveTimeout + RedialMax +
	// what a connection takes to be made, whatever the network did before.
	KeepaliveTimeout time.Duration
	// HandshakeTimeout is how long a node that has dialed may take to say which one it is. 5 s.
	HandshakeTimeout time.Duration
	// RedialMin and RedialMax are the first and the longest time between two attempts to
	// connect, each shortened by up to a half at random. 20 ms and 250 ms.
	RedialMin time.Duration
	RedialMax time.Duration
	// MaxHandshakes bounds the accepted connections that may be in the handshake at once. At
	// the bound a new one takes the place of the oldest one from the source address that
	// has most. 64.
	MaxHandshakes int
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxFrame:         cmp.Or(l.MaxFrame, 64<<20),
		QueueBytes:       cmp.Or(l.QueueBytes, 32<<20),
		QueueMessages:    cmp.Or(l.QueueMessages, 4096),
		KeepaliveTimeout: cmp.Or(l.KeepaliveTimeout, time.Second),
		HandshakeTimeout: cmp.Or(l.HandshakeTimeout, 5*time.Second),
		RedialMin:        cmp.Or(l.RedialMin, 20*time.Millisecond),
		RedialMax:        cmp.Or(l.RedialMax, 250*time.Millisecond),
		MaxHandshakes:    cmp.Or(l.MaxHandshakes, 64),
	}
}

// check refuses what no Transport could work with.
func (l Limits) check() error {
	if l.KeepaliveTimeout != 0 && l.KeepaliveTimeout < keepaliveTimeoutMin {
		return fmt.Errorf("transport: Limits.KeepaliveTimeout is %v, at least %v is needed", l.KeepaliveTimeout, keepaliveTimeoutMin)
	}
	if uint64(max(l.MaxFrame, 0)) > math.MaxUint32 {
		return fmt.Errorf("transport: Limits.MaxFrame is %d, at most %d is possible", l.MaxFrame, uint32(math.MaxUint32))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxFrame", int64(l.MaxFrame)}, {"QueueBytes", int64(l.QueueBytes)}, {"QueueMessages", int64(l.QueueMessages)},
		{"HandshakeTimeout", int64(l.HandshakeTimeout)}, {"RedialMin", int64(l.RedialMin)}, {"RedialMax", int64(l.RedialMax)},
		{"MaxHandshakes", int64(l.MaxHandshakes)},
	} {
		if f.value < 0 {
			return fmt.Errorf("transport: Limits.%s is negative", f.name)
		}
	}
	return nil
}

// onSnapshot is OnSnapshot, whether there is one or not.
func (c *Config) onSnapshot(peer raft.NodeID, sent bool) (end func(error)) {
	if c.OnSnapshot == nil {
		return func(error) {}
	}
	return c.OnSnapshot(peer, sent)
}

// prepare checks c and fills in defaults.
func (c Config) prepare() (Config, error) {
	h := &c.Handshake
	switch {
	case c.ID == raft.None:
		return c, fmt.Errorf("transport: ID is missing")
	case len(h.Name) > nameMax:
		return c, fmt.Errorf("transport: Handshake.Name has %d bytes, at most %d are allowed", len(h.Name), nameMax)
	case len(h.Attributes) > attributesMax:
		return c, fmt.Errorf("transport: Handshake.Attributes are %d bytes, at most %d are allowed", len(h.Attributes), attributesMax)
	case c.Listen == "" && c.Listener == nil:
		return c, fmt.Errorf("transport: Listen and Listener are missing")
	}
	if err := c.Limits.check(); err != nil {
		return c, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Limits = c.Limits.withDefaults()
	if c.Gently == nil {
		c.Gently = func(f func()) { f() }
	}
	if c.Dial == nil {
		c.Dial = dialing.Dial
	}
	return c, nil
}
