// Package logtime is time as the log tells it, and what a leader does to tell it.
//
// Leases must expire at the same place of the log on every replica, so their time is part of the
// replicated state. The leader stamps commands with a Stamp, and a replica's time is the latest
// stamp that it has executed. No replica goes by its own clock, and nobody by a wall clock.
//
//	            leader                                       every replica
//	Clock ────► Stamp ──┐
//	                    ├──► command ──► log ──► executed ──► lease.Table: its time is the stamp
//	keep-alives ──► Tick┘                            │
//	   ▲                                             │
//	   └────────────── Timekeeper ◄── View, Done ◄───┘
//
// A Clock is the leader's: it goes on from what was executed, by the leader's own monotonic clock,
// at most an election timeout. A Timekeeper has one. It gathers keep-alives, and decides when a
// Tick is proposed, the command that renews leases, carries time on, and expires what is due.
//
// # What is promised
//
// The leader's clock may run at another speed than real time, and the leader may change at any
// moment. Then, with T the time to live of a lease:
//
//   - It does not expire before T has passed since its last renewal was proposed, counted by the
//     clocks of those who led: T/r of real time, where no clock runs faster than r times real time.
//   - Nobody's lease expires for the time in which nothing commits, or nobody leads.
//   - No lease expires while its leader has a keep-alive for it that it took in before.
//   - It expires by T plus a quarter of an election timeout, two commits, and the Ticks for those
//     before it. What does not count of real time comes on top: the time without a leader; the time
//     that a stall exceeds three quarters of an election timeout; and at a change of the leader, what
//     was not executed by the new one, about a quarter of an election timeout and a commit.
//
// Instants, stamps and wall times come in as numbers. The package is pure: it has no clock,
// randomness, goroutine, file or lock. The caller locks a Timekeeper, if several goroutines use it.
package logtime
