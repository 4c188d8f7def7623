// Package http2 holds a server of gRPC to RFC 9113 (HTTP/2), RFC 7541 (HPACK) and gRPC's own protocol.
//
// A case sends frames to a server, and says in a few words what came back: "RST_STREAM REFUSED_STREAM",
// "GOAWAY PROTOCOL_ERROR", "grpc-status 0". The lists of cases say what must come. They are tried on grpc-go's server, too:
// where that does something else, the case says so, and no other server is forgiven for it.
//
//	conn_test.go       a connection of frames, and what comes back on it
//	cases_test.go      how a case is run
//	servers_test.go    the servers that are held to the cases: a new one is one entry more
//	service_test.go    what the servers serve
//
//	frames_test.go     the preface, frames, their sizes, padding and CONTINUATION
//	streams_test.go    the states of streams, and their ids
//	control_test.go    SETTINGS, PING, GOAWAY, PRIORITY
//	flow_test.go       WINDOW_UPDATE, and that windows are kept to
//	headers_test.go    what requests are malformed; HPACK
//	floods_test.go     what attackers send
//	calls_test.go      the protocol of gRPC: headers of requests, timeouts, status
//	messages_test.go   messages, their number and size, compression
//	metadata_test.go   metadata
//	lives_test.go      how calls and connections end: cancelled, stopped, refused
//	interop_test.go    the functions with which implementations of gRPC test each other
//
// A balsa that runs elsewhere is held to the cases of HTTP/2:
//
//	go test ./http2 -address 127.0.0.1:2379
package http2
