// Package native serves the native API (package api) by gRPC.
//
//	client ══ Exchange ══► Server ──► one stream: ──► replica.Replica
//	          (gRPC)         │        batches, its
//	                         │        requests in progress
//	                       Status, TransferLeadership, health
//
// Requests take no goroutine each: a stream has one that receives and one that sends, and
// in between they wait in the replica. Every queue on the way is bounded (limiter.go).
// Beyond a bound requests get BUSY, which says that they were not executed.
//
// Package translate checks requests, and turns them into operations and results into replies.
package native
