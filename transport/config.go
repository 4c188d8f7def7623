package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"balsa.example/internal/dialing"
	"balsa.example/raft"
)

// Receiver is what a Transport delivers to: an rsm.Receiver.
type Receiver interface {
	// Receive takes a message that arrived. It must not block.
	Receive(m raft.Message)
	// ReceiveSnapshot stores a snapshot and returns when it is durable.
	ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error
}

// Config says who a node is, whom it talks to, and how. The functions in it are
// called from goroutines of the Transport, without locks; they must not call Close
// and should return soon.
type Config struct {
	// ID is this node, and Name what it is called in what people read, at most 256 bytes.
	ID   raft.NodeID
	Name string
	// Group must be the same at both ends of a connection. Members are the names of the
	// nodes that belong to it, for people to compare when it is not.
	Group   uint64
	Members []string
	// Attributes are told to every peer (PeerStatus.Attributes), as they are. At
	// most 32 KiB.
	Attributes []byte

	// Card, if not nil, returns what this node shows in each handshake, for the other side's
	// Admit. At most 28 KiB.
	Card func() []byte
	// Admit, if not nil, decides by the card of every node of this group that shows up, be
	// it that it dialed or was dialed. The text of its error is told to that node, and of a
	// *Refusal the code too. With Later the other side decides all the same.
	Admit func(from raft.NodeID, card []byte) error

	// Listen is the TCP address to listen on. Listener is used instead if not nil;
	// the Transport closes it.
	Listen   string
	Listener net.Listener
	// Peers maps the other nodes to their addresses. An entry for ID is ignored.
	Peers map[raft.NodeID]string

	// ServerTLS, if not nil, makes connections from peers TLS, and ClientTLS those
	// to peers. For mutual TLS the one sets ClientAuth and ClientCAs, the other
	// RootCAs and Certificates. A missing ClientTLS.ServerName is taken from the
	// peer's address.
	ServerTLS, ClientTLS *tls.Config
	// Authorize, if not nil, decides whether the other end of a TLS connection is node
	// id, by the certificates that it has shown. Before that nothing is told about this
	// node: not to who dials, and not to who was dialed.
	Authorize func(id raft.NodeID, state tls.ConnectionState) error
	// Dial, if not nil, replaces dialing.Dial.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// OnRefused is called when a peer refuses this node for a new reason.
	OnRefused func(r *Refusal)
	// OnPeerUp is called when a peer has admitted this node on a new connection.
	OnPeerUp func(id raft.NodeID)
	// OnPeerDown is called when the connections of a peer that was up are closed or
	// reset by the other side: mostly its process has ended. It is called once for
	// both connections of a pair, until one of them is up again.
	OnPeerDown func(id raft.NodeID)

	// Logger defaults to slog.Default.
	Logger *slog.Logger
	Limits Limits
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
	// Silence bounds how long nothing may arrive on a connection, and how long an attempt
	// to connect may take, before it is given up. Both sides of a connection keep to the
	// shorter of theirs. 1 s; at least 500 ms.
	//
	// Two nodes that can reach each other are connected within Silence + RedialMax + what a
	// connection takes to be made, whatever the network did before.
	Silence time.Duration
	// Handshake bounds how long a node that has dialed may take to say who it is. 5 s.
	Handshake time.Duration
	// RedialMin and RedialMax are the first and the longest time between two attempts to
	// connect, each shortened by up to a half at random. 20 ms and 250 ms.
	RedialMin time.Duration
	RedialMax time.Duration
	// Strangers bounds how many accepted connections may be in the handshake at once. The
	// source address that has most loses its oldest one to a newcomer. 64.
	Strangers int
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxFrame:      cmp.Or(l.MaxFrame, 64<<20),
		QueueBytes:    cmp.Or(l.QueueBytes, 32<<20),
		QueueMessages: cmp.Or(l.QueueMessages, 4096),
		Silence:       cmp.Or(l.Silence, time.Second),
		Handshake:     cmp.Or(l.Handshake, 5*time.Second),
		RedialMin:     cmp.Or(l.RedialMin, 20*time.Millisecond),
		RedialMax:     cmp.Or(l.RedialMax, 250*time.Millisecond),
		Strangers:     cmp.Or(l.Strangers, 64),
	}
}

// prepare checks c and fills in defaults.
func (c Config) prepare() (Config, error) {
	switch {
	case c.ID == raft.None:
		return c, fmt.Errorf("transport: ID is missing")
	case len(c.Name) > nameMax:
		return c, fmt.Errorf("transport: Name has %d bytes, at most %d are allowed", len(c.Name), nameMax)
	case len(c.Attributes) > attributesMax:
		return c, fmt.Errorf("transport: Attributes are %d bytes, at most %d are allowed", len(c.Attributes), attributesMax)
	case c.Listen == "" && c.Listener == nil:
		return c, fmt.Errorf("transport: Listen and Listener are missing")
	case c.Limits.Silence != 0 && c.Limits.Silence < silenceMin:
		return c, fmt.Errorf("transport: Limits.Silence is %v, at least %v is needed", c.Limits.Silence, silenceMin)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Limits = c.Limits.withDefaults()
	if c.Dial == nil {
		c.Dial = dialing.Dial
	}
	return c, nil
}
