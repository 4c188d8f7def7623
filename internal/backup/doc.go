// Package backup keeps backups of a cluster in a directory, and finds in it what a restore needs.
//
//	BACKUP            of which cluster, and of which history
//	LOCK              held while a backup is made
//	point-120000-734  the state at revision 120000, entry 734 of the log, but for the runs that it names
//	run-1, run-2 ...  runs of the history (package kv/run), each in as many points as have it
//
// A backup gets the image of a durable state from a member, and the runs that no point has yet. Each run
// is checked as it is written: by the checksum of the member, and record by record. A run that goes on where one of
// an earlier point has ended is written behind that, in the same file: so the newest records do not
// take space twice. Last comes the point, whole, by a rename. What was written before a backup
// broke off is in no point: the next one goes on with it, and removes what it did not need.
//
// A point covers the revisions from the one that the cluster had compacted by then to its own. Files
// of points are never removed. So of a chain of backups, made often enough, each revision is covered,
// though the cluster has compacted it since.
package backup
