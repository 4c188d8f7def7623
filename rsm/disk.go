//balsa:pure

package rsm

import (
	"fmt"

	"balsa/raft"
)

// DiskTask is what one turn wants of the disk.
type DiskTask struct {
	// Persist is raft.Effects'. Report with Persisted.
	Persist *raft.Persist
	// Compact, if not 0, is for Storage.Compact.
	Compact raft.Index
}

// Empty tells whether there is nothing to do.
func (t *DiskTask) Empty() bool { return t.Persist == nil && t.Compact == 0 }

// DiskStep is one call of a Storage: Save, or without Persists Compact.
type DiskStep struct {
	Persists []raft.Persist
	Compact  raft.Index
}

// DiskSteps returns how to do all tasks that wait, and that in this order: one Save for
// all, which one sync may serve, and then the furthest Compact.
func DiskSteps(tasks []DiskTask) (steps []DiskStep) {
	var save, compact DiskStep
	for _, t := range tasks {
		if t.Persist != nil {
			save.Persists = append(save.Persists, *t.Persist)
		}
		compact.Compact = max(compact.Compact, t.Compact)
	}
	if len(save.Persists) > 0 {
		steps = append(steps, save)
	}
	if compact.Compact > 0 {
		steps = append(steps, compact)
	}
	return steps
}

// Do does the step. Of a Save it returns the Seq to report with Persisted, else 0.
func (s DiskStep) Do(log interface {
	Save(ps []raft.Persist) error
	Compact(index raft.Index) error
}) (persisted uint64, err error) {
	if len(s.Persists) == 0 {
		if err := log.Compact(s.Compact); err != nil {
			return 0, fmt.Errorf("compact the log: %w", err)
		}
		return 0, nil
	}
	if err := log.Save(s.Persists); err != nil {
		return 0, fmt.Errorf("save the log: %w", err)
	}
	return s.Persists[len(s.Persists)-1].Seq, nil
}
