// Package naive is the replicated machine said a second time, by the simplest means: all
// changes of each key in a list, all leases in a map, every question a walk over all of it. It
// is the truth that the real machine (packages kv and state) is compared with, so it shares
// nothing with it but the types, and the rules that a transaction can be checked by alone
// (kv.Txn.Check).
//
//	store.go    keys, revisions, operations on one key
//	txn.go      compares, transactions, and what refuses them
//	ranges.go   ranges at any revision
//	users.go    users, roles, and what each may do
//	leases.go   leases in log time
//	alarms.go   alarms, and what they refuse
//	machine.go  commands and sessions
//	differ.go   whether two answers are the same
package naive
