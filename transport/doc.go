// Package transport carries raft messages and snapshots between the nodes of a
// cluster over TCP, with TLS if wanted. A Transport is an rsm.Transport and
// delivers to an rsm.Receiver.
//
//	node 1                                     node 2
//	Send ──► queue ──► ═══ messages ═══════════► Receive
//	Receive ◄═══════════ messages ═══ ◄── queue ◄── Send
//	SendSnapshot ──────── one snapshot ────────► ReceiveSnapshot
//
// Each ordered pair of nodes has one connection for messages, which the sender
// dials, at once and again whenever it is lost; a snapshot has one of its own. What
// cannot be sent soon is dropped, as Raft will say it again: a queue is bounded in
// messages and bytes, and empty while its connection is down.
//
// Both sides of a connection say ten times a second that they live, and give it up when
// they have heard nothing for Limits.Silence (line.go). The kernel would keep a connection
// for minutes after an outage. Whoever has given up dials again, at least every Silence
// and RedialMax; when a peer dials in, that is news about the way to it, too.
//
// A connection opens with a handshake (handshake.go): both sides say who they are
// and either may refuse the other with a reason. Then come frames (frame.go), each
// with a checksum; a bad one ends the connection. Messages are encoded as
// [raft.AppendMessage] does.
package transport
