// Package translate answers the requests of clients, without any network: it turns them
// into operations, and what became of these into replies. It is pure, so that the server
// and the simulator run the same.
//
//	Request ──► check ──► kv.Op ──► Replica.SubmitFunc ──► Reply
//	                        └─────► Replica.ReadFunc ──► Store.Get ──► Reply
package translate
