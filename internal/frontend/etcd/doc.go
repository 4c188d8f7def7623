// Package etcd answers the etcd v3 API, without any network.
//
//	grpc-go, JSON gateway, ...          Method: name, right, how to call it
//	        │                              │
//	        └── Caller, request ──► Face ──┴──► translate ──► Node: Submit, Read, KeepAlive, Store
//	                                 │                            │
//	            response, or Error ◄─┴──────── translate ◄────────┘
//
// A Face translates and decides nothing: what is true is in the replicated machine (package
// state), which the native API uses too. Messages are those that etcd publishes
// (go.etcd.io/etcd/api/v3). Nothing here knows how they travel: Methods lists every method with
// a function that calls it, and a transport serves that list.
package etcd
