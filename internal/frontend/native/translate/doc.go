// Package translate answers the requests of clients, without any network: it turns them
// into commands and reads, and what became of these into replies. It is pure, so that the
// server and the simulator run the same.
//
//	Request ──► check ──► state.Command ──► Replica.SubmitEntryFunc ──► Reply
//	              │  └──────────► Timekeeper.KeepAlive ──────────► Reply
//	              └──► Replica.ReadFunc ──► Store.Get, Range, ... ──► Reply
//
// An operation on one key is a kv.Op, and nothing else: that is the hot path (handler.go, and
// get in read.go). Everything else comes as the call of a request (call.go), is a command with
// More (write.go) or a read in the background (read.go), and has a result of its own
// (result.go). Requests are checked against limits here, at the edge, and replies are bounded.
package translate
