// Package auth holds the users of a cluster, their roles, and which keys each role may read and
// write. It is replicated state: each replica has a Table, and the commands in the log change it.
// Names and rules are etcd's.
//
//	user ──has──► role ──has──► permission: read, write or both, over a span of keys
//	  │
//	  └─ stamp: the auth revision of its last password
//
//	log ──► command ──► Change ──► Table.Do ──► the next Table
//	           │
//	           └─ the user and the stamp that it names ──► Table.Admit ──► Permitted, Root
//
// # Who a command is from
//
// The server that a client talks to proves the user, by a password, a token or a certificate. The
// command in the log then names the user, and each replica decides by its own Table, at the
// command's place in the log. So all replicas decide the same, and no change of rights can come
// between the check and what is checked.
//
// The command names the stamp of the user's password, too, as the token has it. A token is
// refused that is older than the password: one of a user that has a new password, or was deleted
// and made again. Other changes, of roles or of other users, leave it valid.
//
// # A Table never changes
//
// Do returns another Table and leaves the old one as it is. So readers need no lock, and an image
// is the Table itself. What a role covers is merged when the role changes; it is not in the
// encoding, and Decode merges it again.
//
// The package is pure: it has no clock, randomness, goroutine, file or lock, and no map. Passwords
// are hashed before they come here, and secrets are drawn by the proposer of a command.
package auth
