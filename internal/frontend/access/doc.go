// Package access proves the users of requests, and decides whether they may read. Both faces
// stand on it.
//
//	password ──► Authenticate ──► token ──► client
//	token, or the name in a certificate ──► Identify ──► User
//	                                                      ├─ write ──► the command names it;
//	                                                      │            package state decides
//	                                                      └─ read ───► Require, Read, Lease
//
// A Control decides by the users and roles that its member has executed (package state/auth).
// A refusal is only given after a linearizable read, since the member may be behind; a read is
// checked again after it, in case rights were taken away meanwhile.
//
// Passwords are hashed here, since that takes long: a few at a time, under no lock, and never
// where commands are executed.
//
// # Tokens
//
// A token says which user it is of, the stamp of the user's password, and until when it is good.
// No server remembers it, so it holds at any member, and after a restart. It is proved in one of
// two ways:
//
//   - simple: by a secret that is drawn when authentication is switched on, and replicated. Like
//     etcd's, such a token lives on while a server sees it used.
//   - jwt: by a key that the operator gives each server. Others may issue tokens, too.
package access
