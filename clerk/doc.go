// Package clerk is the Go client of balsa.
//
//	ck, err := clerk.New([]string{"10.0.0.1:23790", "10.0.0.2:23790", "10.0.0.3:23790"})
//	if err != nil { ... }
//	defer ck.Close()
//
//	kv, err := ck.Put(ctx, "greeting", []byte("hello"), 0)           // create
//	kv, err = ck.Get(ctx, "greeting")                                // kv.Version == 1
//	kv, err = ck.Put(ctx, "greeting", []byte("bonjour"), kv.Version) // replace what was read
//
// Every key has a version: 0 means that there is no such key, and each successful
// write of it adds one. A deleted key that is created again counts from 1. Put and Delete
// take effect only if the key is at the version given, else they fail with ErrVersion or
// ErrNoKey and change nothing. Set and Remove take effect whatever the version. All
// operations on all keys, by all Clerks, form one linearizable history.
//
// # More than one key
//
//	for kv, err := range ck.Range(ctx, clerk.Prefix("users/"), clerk.Limit(100)) { ... }
//	n, err := ck.Count(ctx, clerk.Prefix("users/"))
//	n, err = ck.DeleteRange(ctx, clerk.Prefix("tmp/"))
//
//	result, err := ck.Txn(ctx).                        // all in one revision
//		If(clerk.Version("a").Equals(3), clerk.Missing("b")).
//		Then(clerk.OpPut("b", value)).
//		Else(clerk.OpGet("a")).
//		Commit()
//
//	err = ck.Update(ctx, func(tx *clerk.Tx) error {    // reads, then writes what follows from it
//		kv, err := tx.Get("a")
//		...
//		tx.Put("b", value)
//		return err
//	})
//
// The store has one revision, which each change raises. A Range is of one revision, however
// long it takes. AtRevision reads what there was at an earlier one, until Compact forgets it.
//
// # Leases
//
//	lease, err := ck.Grant(ctx, 10*time.Second)
//	_, err = ck.Set(ctx, "workers/7", address, clerk.WithLease(lease.ID()))
//	<-lease.Done()                                     // lost, or may be at any time
//
// The Clerk keeps its leases alive. When one ends, by Revoke or because no server was reached for
// its time to live, its keys are deleted. Packages lock, election and queue are made of these.
//
// # What an error means
//
// An operation goes on, from server to server, until its outcome is known or its context
// ends: give it a context that does. Then one of three things is true.
//
//   - The error is nil: it was executed.
//   - The error matches ErrMaybe: it may have been executed, or may be yet.
//   - Any other error: it was not executed and never will be.
//
// If the context ended, the error matches the context's error as well. No write is executed
// twice. What happens when a reply is lost:
//
//   - A write in a session (see WithSession) is sent again, and gets its own outcome. It ends in
//     ErrMaybe only if the context or the session ends before that.
//   - A Put or Delete is sent again. Only one of its attempts can take effect, whatever other
//     clients do to the key, and however late an attempt arrives. It ends in ErrMaybe only if
//     the resend is refused, as it would be after our own success, or if the context ends; and
//     only if the messages that were sent and received do not tell more (see docs/semantics.md).
//   - Reads, Grant, Revoke, KeepAlive and Compact are sent again: to do them twice does no harm.
//   - Set, Remove, DeleteRange, transactions that write, and a Put with options are not sent
//     again, since that might undo what another client wrote in between. They end in ErrMaybe.
//
// After ErrMaybe, a Get shows the present value.
//
// # Watching
//
// Watch iterates over what happens to a key, or to all keys with a prefix: each event once, in
// order, and none missing, for as long as the loop wants. See Clerk.Watch, and docs/semantics.md
// for what is promised.
//
// # How it works
//
// Op is a state machine without clock, network or goroutines. It decides which server to ask,
// when to wait, and what is known in the end; see its table. A Clerk runs one for each
// operation. All concurrent operations share one stream to each server: the requests that
// wait while a batch is sent make the next batch. One goroutine keeps all leases alive.
//
// Watcher is such a machine for a watch. All watches of a Clerk share another stream to each
// server.
//
// Servers tell on each stream who the members are, and again when they change. A Clerk keeps a stream
// open for that while it does nothing, from its first call on, and drops the connections to former
// members. If every server that it knows was replaced while it could reach none, it needs new endpoints.
//
// A Clerk is safe for concurrent use, and one is enough for a program.
package clerk
