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
//
// Ranges, and what watchers are told, may be large. So they are encoded here, by hand (Encoded), and a
// transport that knows how sends them as they are. To others they are messages like all the rest.
//
// # Locks and elections
//
// Lock and Election are made of the methods above, as clients of etcd make locks by themselves: see
// queue.go.
//
// # Watch
//
//	Stream ──► receive ──► WatchSession.Create ──► kv/watch.Hub
//	   ▲                                                │
//	   └────── send ◄── Recipients, WatchMessage ◄──────┘
//
// A stream of watchers is one of package watching: one goroutine receives, another sends. The
// translate.WatchSession remembers what the hub does not know: ids that were chosen here, and who
// wants fragments, or progress at intervals. Events are encoded once for all watchers that are due
// the same. A response to one of them has a few bytes of its own before these (Encoded), so that it
// costs little to tell a thousand watchers of one event.
package etcd
