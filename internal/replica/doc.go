// Package replica runs one replica of the key/value store: the rsm.Node, the state.Machine
// that it applies to, and the handler that answers requests. It has no socket: server gives it
// one, tests put it on a network in memory.
//
//	api.Request ──► translate.Handler ──► rsm.Node ──► state.Machine
//	                                        │  └─► rsm.Storage
//	                                        └────► rsm.Transport
package replica
