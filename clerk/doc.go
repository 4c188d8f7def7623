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
// twice. A Put or Delete whose reply was lost is sent again. Only one of its attempts can take
// effect, whatever other clients do to the key, and however late an attempt arrives. It ends
// in ErrMaybe only if the resend is refused, as it would be after our own success, or if the
// context ends; and only if the messages that were sent and received do not tell more
// (see docs/semantics.md). Set and Remove are not sent again, since that might undo what
// another client wrote in between. After ErrMaybe, a Get shows the present value.
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
// wait while a batch is sent make the next batch.
//
// Watcher is such a machine for a watch. All watches of a Clerk share another stream to each
// server.
//
// A Clerk is safe for concurrent use, and one is enough for a program.
package clerk
