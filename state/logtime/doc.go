// Package logtime is time as the log tells it.
//
// Leases must expire at the same place of the log on every replica, so their time is part of the
// replicated state: the leader stamps commands with a Stamp, and a replica's time is the latest
// stamp that it has executed. No replica goes by its own clock.
package logtime
