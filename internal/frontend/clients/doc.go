// Package clients is the client port of a server: the connections, and what bounds them.
//
//	listener ──► Client ──► handshake of TLS ──► grpcserver.Server ──► services
//	   │           │                                │                     │
//	fair slots     └─ Requests, Watchers, streams   └─ traffic            └─ ClientOf
//
// A face (native, etcd) registers its services on the Port. It asks ClientOf for the client of
// a call, and counts there what the client has in progress, so that all faces share one set of
// bounds. What bounds streams and connections works without the faces:
//
//   - Limits.Connections, with a fair share for each source address (package fair);
//   - Limits.Streams of a connection, and a number of streams of all (open_streams.go);
//   - Limits.UnfinishedBytes of messages of which only a part has come, and of streams on which
//     none has (traffic.go);
//   - requests in progress, for services that are registered Within (within.go);
//   - Limits.Stall, after which a client that does not read, or does not finish a message, is
//     sent away (stall.go).
package clients
