// Package etcdconfig reads what a server of etcd is told, and makes of it what a server of balsa is
// told.
//
//	flags ─┐
//	ETCD_… ┼──► Parse ──► Options ──► Server ──► server.Config
//	file  ─┘                │
//	                        └──► Warnings: what is accepted, and does nothing here
//
// Every flag of etcd 3.7 is one of three kinds. It is honoured (flags.go), or accepted without an
// effect where nobody loses anything by that, or refused by its name (others.go). A flag that has
// the value it has by default is never refused. The sources are merged as etcd does it: the command
// line goes before the environment, and a configuration file is used alone.
package etcdconfig
