// Package native serves the native API (package api) by gRPC, on a clients.Port.
//
//	client ══ Exchange ══► Server ──► one stream: ──► replica.Replica
//	          (gRPC)         │        batches, its
//	                         │        requests in progress
//	                       Call, Status, TransferLeadership, LogLevel
//
// Requests take no goroutine each: a stream has one that receives and one that sends, and
// in between they wait in the replica. Every queue on the way is bounded (package clients).
// Beyond a bound requests get BUSY, which says that they were not executed.
//
// Watch is a stream of watchers. What they are due waits in the hub (package kv/watch), not in
// the stream: a client that reads slowly has one message on its way.
//
// Package translate checks requests, and turns them into operations and results into replies.
package native
