package state

import (
	"balsa.example/kv"
	"balsa.example/state/auth"
	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

// Command is one command of the log. Most are an operation on one key and nothing else.
type Command struct {
	Op kv.Op
	// More is what the other commands have. With it Op only counts if More.Kind is KindOp.
	More *More
}

// Kind says what a command does.
type Kind uint8

const (
	KindOp      Kind = iota + 1 // an operation on one key
	KindTxn                     // a transaction
	KindCompact                 // forgets the history below a revision
	KindGrant                   // makes a lease, or a session
	KindRevoke                  // ends a lease and deletes its keys
	KindTick                    // keeps leases alive, carries time on, and ends leases that are due
	KindQuota                   // sets the quota
	KindAuth                    // changes users and roles
	KindVersion                 // raises the version of commands that the cluster uses
	KindAlarm                   // raises or lifts an alarm
)

// More is all that a command can be besides an operation on one key.
type More struct {
	Kind Kind
	// Session names the session that the command belongs to, if there is one.
	Session SessionSeq
	// Stamp is the leader's clock when it proposed a command of leases or a Tick; else zero. A
	// member that does not lead has none for what it forwards: its leases float (see package lease).
	Stamp logtime.Stamp
	// User is the user that the command is from, as the server that the client talks to has
	// proved it. UserStamp is the one of its token, auth.ByCertificate without a token. They count
	// while authentication is on: see present.permits.
	User      string
	UserStamp uint64
	// Internal marks a command of the cluster itself, which needs no user. No client can send one.
	Internal bool

	Txn *kv.Txn // KindTxn

	Revision uint64 // KindCompact: the first one that stays

	Lease     int64   // KindGrant, KindRevoke; never 0
	TTL       int64   // KindGrant: nanoseconds
	IsSession bool    // KindGrant
	Leases    []int64 // KindTick: those that are kept alive

	Quota int64 // KindQuota: bytes; 0: none

	Auth *auth.Change // KindAuth

	Version uint64 // KindVersion

	Alarm AlarmChange // KindAlarm
}

func (m *More) stamped() bool { return m.Stamp != logtime.Stamp{} }

// SessionSeq names a command of a session.
type SessionSeq = lease.SessionSeq

// Result is the outcome of a command.
type Result struct {
	// Result is that of an operation on one key. For all commands it has the code and the
	// store's revision.
	kv.Result
	// Txn is that of a transaction; nil if it was refused.
	Txn *kv.TxnResult
	// TTL is of KindGrant and KindTick: what is left of each lease in nanoseconds, 0 if
	// there is no such lease.
	TTL []int64
	// Replayed tells that the command was executed before, at the revision DoneAt. Kept is how
	// much of the outcome its session has kept.
	Replayed bool
	DoneAt   uint64
	Kept     Kept
}

// Kept is how much a session has kept of an outcome.
type Kept uint8

const (
	// KeptRevision: it is known that the command was executed, and not what came of it.
	KeptRevision Kept = iota
	// KeptCode: the code is known, and whether a transaction has succeeded. All other fields
	// are zero.
	KeptCode
	// KeptResult: nothing is missing.
	KeptResult
)
