// Package datadir keeps the data directory of one member: whose it is, that one
// process uses it at a time, and the member's log.
//
//	LOCK      held while a process uses the directory
//	MEMBERS   the identity of this member, and the certificate of its cluster (MemberFile)
//	wal/      the log and the snapshots (package wal), once the cluster has begun
//	DIVERGED  this member's state was found to differ from that of a majority: the
//	          content of the directory must not be used any more
//
// What a member may promise to others rests on this directory. So a directory of
// another member, or one from which a file is missing, is refused and left as it is.
package datadir
