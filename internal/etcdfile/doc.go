// Package etcdfile reads and makes files of etcd: what "etcdctl snapshot save" writes, and the database of a
// member, member/snap/db. Both are databases of bbolt. A snapshot has the SHA-256 of what is before
// at its end.
//
// Open checks a file: first its hash, and then every record that it will be asked for. So what reads
// from a File later finds no damage that Open could have found.
//
// A database has a record for each change of a key, in the order of revisions. The newest of a key
// counts. File.Each reads them in that order, so the memory that a File takes is that of its keys,
// and not of its values or its history.
//
// Create makes a database, in a file without a name, and Draft.Read reads it as a snapshot. It has the
// newest record of each key alone, and says that it is compacted at its revision. So etcd, started
// with it, goes on behind that revision, and refuses to read before.
//
// A database without a hash may be damaged in ways that make bbolt panic, or touch memory that no
// page of the file backs. Both become errors here.
package etcdfile
