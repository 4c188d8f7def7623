//balsa:pure

package rsm

import (
	"fmt"

	"balsa.example/raft"
)

// DiskTask is the work of one turn for the disk.
type DiskTask struct {
	// Persist is that of raft.Effects. Report its Seq with Events.Persisted.
	Persist *raft.Persist
	// Compact, if not 0, is the argument of a call of Log.Compact.
	Compact raft.Index
	// Check asks for a Save, even an empty one, after a snapshot could not be stored or
	// opened. If the disk has failed for good, Save tells. A replica that only waits for a
	// snapshot would otherwise not learn of it, and wait for ever.
	Check bool
}

// Empty tells whether there is nothing to do.
func (t *DiskTask) Empty() bool { return t.Persist == nil && t.Compact == 0 && !t.Check }

// lone tells whether the task is to write a single entry.
func (t *DiskTask) lone() bool { return t.Persist != nil && len(t.Persist.Entries) == 1 }

// DiskStep is one call of a Log: Compact if Compact is not 0, else Save.
type DiskStep struct {
	Persists []raft.Persist
	Compact  raft.Index
}

// SaveBytes is how many bytes of entries a Node gives to a Save: with so many, or more, it is full. A log copies them all
// before it writes them, and none of them is acknowledged before the last one is written: so what a follower gets that
// was away is written in pieces.
const SaveBytes = 4 << 20

// DiskSteps returns the calls that perform all waiting tasks, in order: one Save for all of
// them, which one sync may serve, or several if they have full bytes of entries or more, and
// then the furthest Compact.
func DiskSteps(tasks []DiskTask, full int) (steps []DiskStep) {
	var save, compact DiskStep
	bytes, check := 0, false
	for _, t := range tasks {
		if t.Persist != nil {
			save.Persists = append(save.Persists, *t.Persist)
			bytes += t.Persist.EntryBytes()
		}
		if bytes >= full {
			steps = append(steps, save)
			save, bytes = DiskStep{}, 0
		}
		compact.Compact = max(compact.Compact, t.Compact)
		check = check || t.Check
	}
	if len(save.Persists) > 0 || check && len(steps) == 0 {
		steps = append(steps, save)
	}
	if compact.Compact > 0 {
		steps = append(steps, compact)
	}
	return steps
}

// Do makes the call. After a Save of at least one Persist it returns the Seq to report with
// Events.Persisted, else 0.
func (s DiskStep) Do(log interface {
	Save(ps []raft.Persist) error
	Compact(index raft.Index) error
}) (persisted uint64, err error) {
	if s.Compact > 0 {
		if err := log.Compact(s.Compact); err != nil {
			return 0, fmt.Errorf("compact the log: %w", err)
		}
		return 0, nil
	}
	if err := log.Save(s.Persists); err != nil {
		return 0, fmt.Errorf("save the log: %w", err)
	}
	if n := len(s.Persists); n > 0 {
		persisted = s.Persists[n-1].Seq
	}
	return persisted, nil
}
