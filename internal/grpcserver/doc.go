// Package grpcserver serves gRPC over HTTP/2 (RFC 9113, and PROTOCOL-HTTP2 of gRPC) with little work a
// call. Services are registered as with a grpc.Server, and handlers see no difference.
//
//		            ┌── one goroutine reads ──► frames ──► stream's inbox ──► handler, in a worker
//		connection ─┤                             │                             │
//		            └── one goroutine writes ◄────┴── control, ready streams ◄──┘ outbox
//
//	  - receive.go: the reader. It takes frames from one buffer, and hands a call to a worker when the request
//	    has come.
//	  - headers.go: what the headers of a request say. Clients repeat them, so each connection remembers them
//	    in their parsed form.
//	  - inbox.go: the messages that a client sends on a stream, and the credit that it gets for more.
//	  - outbox.go: what a handler answers, until the writer takes it.
//	  - send.go: the writer. It makes frames of all that is ready, within the windows of the client, and
//	    writes them together.
//	  - call.go, stream.go: handlers.
//	  - keepalive.go: pings, those of clients and its own.
//
// Every queue is bounded. A client cannot have more streams than Config.MaxStreams; what it sends ahead of
// a handler is at most a window; answers to its control frames that it does not read close the connection.
package grpcserver
