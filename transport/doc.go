// Package transport carries Raft messages, snapshots, files and calls between the nodes of a cluster
// over TCP, with TLS if wanted. A Transport is an rsm.Transport and an rsm.Fetcher, and delivers
// to an rsm.Receiver.
//
//	node 1                                     node 2
//	Send ──► queue ──► ═══ messages ═══════════► Receive
//	Receive ◄═══════════ messages ═══ ◄── queue ◄── Send
//	SendSnapshot ──────── one snapshot ────────► ReceiveSnapshot
//	Fetch ◄────────────── one file ───────────── OpenFile
//	Call ◄──────── request and answer ─────────► Config.OnCall
//
// # Use
//
//  1. New listens, and connects to all Peers. ID, Peers and a Listen address are all it needs;
//     TLS is one field.
//  2. rsm.Start makes a node that sends over the Transport.
//  3. Transport.Start has the node receive. From then on the node is also told which peers are
//     unreachable, so that a new leader is elected at once when the process of the old one ends.
//  4. Close ends all connections. Close the Transport before the node is stopped.
//
// # What a program can rely on
//
//   - Messages to a peer arrive in order, or not at all. Send never waits: what cannot be sent
//     soon is dropped, because Raft sends it again. The queue of a peer is bounded in messages
//     and bytes, and empty while its connection is down.
//   - Every frame has a checksum; a bad one ends the connection. A snapshot or a file that
//     breaks off is never taken for a shorter one.
//   - One snapshot at a time goes to a peer, and two files at a time come from it. A node serves
//     up to four fetches of a peer, since it may learn late that some were given up. Each takes
//     up two buffers of 256 KiB at most. So memory does not grow with the size of files.
//   - Two nodes that can reach each other are connected within Limits.KeepaliveTimeout +
//     Limits.RedialMax, whatever the network did before.
//   - A node that is not in Peers, or is of another Group, is refused. So is a second process
//     that speaks for a node while the first one lives.
//   - A call is one request of 64 KiB at most, and one answer. A node serves 16 of members at a
//     time, and 4 of strangers: nodes without an ID, which ask to be made members (Stranger).
//   - Without TLS that demands certificates, whoever reaches the port can speak for a node.
//
// # How it is made
//
// Each ordered pair of nodes has one connection for messages, which the sender dials, at once
// and again whenever it is lost (peer.go). A snapshot has a connection of its own
// (snapshot.go), and so have a fetch (fetch.go) and a call (call.go). A connection opens with a handshake: both sides say which nodes they are, and
// either may refuse the other with a reason (handshake.go). Then come frames (frame.go).
//
// Both sides of a connection write ten times a second, and give it up when nothing has arrived
// for Limits.KeepaliveTimeout (connection.go). The kernel would keep a connection for minutes
// after an outage. The side that has dialed then dials again.
package transport
