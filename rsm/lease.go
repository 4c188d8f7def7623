//balsa:pure

package rsm

// LeaseNanos returns how long a leader may trust that nobody else is elected, from when
// it sent what a majority answered, where no two clocks differ in rate by more than the
// share of drift.
//
// Of the ticks of a follower's silence two may come right after it heard from the
// leader: one that its ticker kept for it while it was late, and the next one.
func LeaseNanos(electionTicks int, tickNanos int64, drift float64) int64 {
	silence := int64(electionTicks-2) * tickNanos
	return int64(float64(silence) * (1 - drift))
}
