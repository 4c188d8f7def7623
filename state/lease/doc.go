// Package lease holds the leases of a cluster: who lives until when, which keys go with each, and
// what the last commands of each session came to. It is replicated state: each replica has a
// Table, and the commands in the log change it.
//
//	log ──► command ──► Advance(stamp)   the clock of the table, which is log time
//	           │
//	           ├─ grant, revoke ───────► Grant, Revoke
//	           ├─ put with a lease ────► Room; Attach, Detach
//	           ├─ tick ────────────────► KeepAlive, then Expire ──► Ended: keys to delete
//	           └─ of a session ────────► Begin ──► execute ──► Finish
//	                                       └────► the outcome of before, or unknown
//
//	checkpoint ──► Image ──► WriteTo, in another goroutine          Decode ──► Table
//
// # Time
//
// A lease expires by log time (package logtime), which the stamps of commands carry. It lives for
// its time to live from the stamp of its Grant or of its last KeepAlive. It ends by Revoke or
// Expire and by nothing else: a lease whose time is over, but that no Expire has taken out yet,
// can be kept alive, and keys can be attached to it. Revoke and Expire return its keys, which the
// caller deletes in the same command. So there is no moment at which a lease has lost its keys and
// still lives.
//
// A command without a stamp, which a member that does not lead forwards, grants or keeps alive
// leases that float: they count from the second Tick that follows. See floating.go.
//
// # Sessions
//
// A session is a lease that remembers the outcomes of commands. A command of a session is executed
// at most once, however often it is in the log, and a copy of it is answered with the outcome of
// the first, as long as the session lives and remembers it. Where it does not, the answer is that
// the fate is not known, and the command is not executed. Begin has the rules, and what would go
// wrong without them.
//
// # What keeps it small
//
// Limits bound the leases, the keys of each and the outcomes; they are part of the state. A keep-alive
// changes 8 bytes and no order (see expiries). An Image copies one pointer for each page of leases;
// after it, the first change of a page copies the page. The hash is a sum of the hashes of all parts,
// so each change adds and subtracts.
//
// The package is pure: it has no clock, randomness, goroutine, file or lock, and never goes by the
// order of a map.
package lease
