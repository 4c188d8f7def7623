// Package member is one member's place in a cluster: whose data directory it has, how it
// finds the others, and how each proves to the others who it is. Package rsm replicates a
// state machine on top of it; the package balsa in the module's root puts both together in
// one call, and most programs want that.
//
//	Config ──► Open ──────────► AwaitAdmission ─────────► Start(node)
//	           listens,         returns when the          messages are
//	           opens the        cluster has begun,        delivered to an
//	           data directory   with Log                  rsm.Node
//
// # Who is who
//
// A cluster begins once: when all members of its Cluster have been reached, with new and
// empty directories, they agree on an identity that is drawn at random, and on the one
// directory of each member that counts. From then on
//
//   - a member whose directory was emptied, or is of another cluster, is refused with
//     ErrNotAdmitted: it has forgotten what it promised, and could help to lose what the
//     others have acknowledged;
//   - a directory of another member is refused with ErrForeign;
//   - a second process on one directory is refused with ErrInUse.
//
// # Members come and go
//
// Who the members are stands in the configuration of the log, with their names and addresses. It is
// changed by Add, Promote, Remove, Update and Replace, at any member: the leader makes the change,
// and others ask it. A server with Config.Join asks by itself to be made a member. Its directory
// is new, and it gets an id that no member ever had; as a learner it gets the state, and it votes
// when it is caught up, and has executed what it got. A member that was removed ends with ErrRemoved.
//
//	Config.Join ──call──► any member ──call──► leader: ChangeConfiguration ──► log
//	                                                                           │
//	transport's peers ◄── OnConfiguration, at every member ◄───────────────────┘
//
// With TLS a certificate names its member: as common name, as DNS name, or by the host of
// its address. A secret that all members share does the same without certificates.
package member
