package logtime

// Instant is a reading of a node's own monotonic clock, in nanoseconds from a point of the shell's
// choice. Only instants of one node and one run are compared.
type Instant int64

// Clock tells a leader the log time. It goes on from the latest stamp that the leader has
// executed, by the leader's own clock, and never by a wall clock:
//
//	log time = stamp executed last + what the own clock has counted since, at most maxAhead
//
// What would go wrong with less:
//
//  1. Nothing commits for 30 s, because two disks hang, but heartbeats flow and the leader stays.
//     Clients send keep-alives that cannot be executed. If log time went on meanwhile, the first
//     command to commit would end all leases. So log time stands still maxAhead after the last
//     stamp that was executed, and what the own clock counts beyond that is lost for good.
//  2. A leader is cut off, and its clock goes on. It leads again later, and continues from what it
//     had counted alone. Leases that were granted meanwhile, by the log time of another leader,
//     would end early. So the clock begins anew at each leadership, with what has been executed.
//  3. A new leader stamps commands before it has executed all of the log before them. Its log time
//     is too early then, and it moves on when it executes later stamps. The stamps are too early
//     as well, which is safe: a table never goes back, and expires by the Tick's own stamp.
//
// So between two stamps in the log at most as much log time passes as the leaders' clocks have
// counted between the two proposals. A lease ends no earlier after its last renewal was
// proposed than its time to live, by the clocks of those who led. Where a clock runs at twice the
// speed, that is half of the time.
type Clock struct {
	maxAhead int64
	leading  bool
	executed Time    // the latest stamp that was executed
	reading  Time    // never before executed
	at       Instant // when reading was taken
}

// NewClock returns the clock of a node that does not lead. maxAhead is the election timeout in
// nanoseconds.
func NewClock(maxAhead int64) Clock { return Clock{maxAhead: maxAhead} }

// BecameLeader starts the clock. executed is the time of the replica's table.
func (c *Clock) BecameLeader(now Instant, executed Time) {
	c.leading, c.executed, c.reading, c.at = true, executed, executed, now
}

// LostLeadership stops the clock.
func (c *Clock) LostLeadership() { c.leading = false }

// Executed tells the time of the replica's table, each time that it may have changed.
func (c *Clock) Executed(now Instant, executed Time) {
	c.advance(now)
	c.executed = max(c.executed, executed)
	c.reading = max(c.reading, c.executed)
}

// Now returns the log time, false if the node does not lead. It never goes back during one
// leadership.
func (c *Clock) Now(now Instant) (Time, bool) {
	c.advance(now)
	return c.reading, c.leading
}

// advance lets the time pass that the own clock has counted. What is beyond the limit is lost:
// the limit may rise later, and the time that passed before must not count then.
func (c *Clock) advance(now Instant) {
	if now > c.at {
		c.reading = max(c.reading, min(c.reading.Add(int64(now-c.at)), c.executed.Add(c.maxAhead)))
		c.at = now
	}
}
