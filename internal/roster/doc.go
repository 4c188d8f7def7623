// Package roster is who the members of a cluster are: names, addresses, and the data directory
// that counts of each. A Roster travels as the Context of the configuration in the log, so it is
// in force, and taken back, together with the voters and learners that it describes: there is no
// second store of members that could differ.
//
//	raft.Configuration: voters, learners, Context ──► Decode ──► Roster
//	                                    ▲                          │ Find, Named, ...
//	                                    └──────── Append ◄─────────┘
//
// All of it is pure: a change is decided by the leader, from the latest configuration.
package roster
