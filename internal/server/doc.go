// Package server puts one member of a balsa cluster together: sockets, data
// directory, replica, and the gRPC face that clients talk to.
//
//	client ══ Exchange ══► front ──► exchange ──► Service ──► rsm.Node ──► kv.Store
//	          (gRPC)         │       one stream,    one         │   │
//	                         │       batches       request      │   └─► wal.Log
//	                       Status,                              └─────► transport ══► peers
//	                       health
//	 operators ══► metrics: figures, health, profiles (HTTP)
//
// Service (service.go) answers requests and knows no network. Replica (replica.go) is
// a Service with the rsm.Node behind it; tests run it on a network in memory. Server
// (server.go) is the whole, with a life of three parts:
//
//  1. Start opens the sockets, then the data directory (home.go). What is wrong with
//     either is found before anything on disk has changed.
//  2. With a new data directory it waits for its cluster to begin, which takes all
//     members (admission.go, ledger.go, package birth). Meanwhile requests get UNAVAILABLE.
//  3. The replica runs, until Shutdown (shutdown.go) or until its disk fails.
//
// Requests take no goroutine each: a stream has one that receives and one that sends,
// and in between they wait in the replica. Every queue on the way is bounded
// (flow.go); beyond a bound requests get BUSY, which says that they were not executed.
package server
