package logtime

// Time is a point of log time: nanoseconds of it since the cluster's birth, where it is 0. It
// is never a wall clock's time. It only passes while a leader's commands are committed.
type Time int64

// Never is after all other times.
const Never Time = 1<<63 - 1

// Add returns the time d nanoseconds later, at most Never. d is not negative.
func (t Time) Add(d int64) Time {
	if t > Never-Time(d) {
		return Never
	}
	return t + Time(d)
}

// Stamp is the time that a leader gives a command when it proposes it.
type Stamp struct {
	Log Time
	// Wall is the leader's wall clock, in nanoseconds since 1970 in UTC. It is for people, and no
	// lease goes by it.
	Wall int64
}

// Later returns the later of the log times and the later of the wall times.
func Later(a, b Stamp) Stamp { return Stamp{max(a.Log, b.Log), max(a.Wall, b.Wall)} }
