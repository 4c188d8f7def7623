package sim

import (
	"errors"

	"balsa.example/rsm"
	"balsa.example/state"
)

// maintain is the goroutine of a server that frees what compaction has forgotten.
func (n *node) maintain() {
	m, ok := n.machine.(*state.Machine)
	if !ok {
		return
	}
	n.after(milliseconds(20)+n.w.upTo(milliseconds(400)), func() {
		if m.CheckpointWanted() && n.w.chance(0.5) {
			n.call(func(r *replica) { r.WantCheckpoint() })
		}
		if n.disk.snapping != nil || n.disk.maintaining != nil { // they exclude each other
			n.maintain()
			return
		}
		n.disk.maintaining = m.Maintain
		if n.scrubDue(m) {
			n.disk.maintaining = func() (bool, error) { return false, n.scrub(m) }
		}
		n.afterDisk(n.diskDelay(n.w.mix.SnapshotWrite), n.maintained)
	})
}

// scrubDue tells whether the next step is to read a run.
func (n *node) scrubDue(m *state.Machine) bool {
	select {
	case <-m.ScrubWanted():
		return true
	default:
		// Some damage can be repaired only when as much was purged here as elsewhere.
		return n.w.mix.has(Rot) && (n.w.chance(0.5) || n.w.closing && n.disk.isRotten() && n.w.chance(0.8))
	}
}

// scrub reads a run, and repairs it if it is damaged.
func (n *node) scrub(m *state.Machine) error {
	done, err := m.Scrub()
	if done.Path != "" {
		n.w.trace.text(n.w.now, n.id, "scrub", "%s: damage %v, %v", done.Path, done.Damage, err)
	}
	switch {
	case done.Damage == nil:
	case err == nil:
		n.w.check.counts.Repaired++
	default:
		n.w.check.counts.NotRepaired++
	}
	return err
}

// maintained is called at the end of the time that a step takes.
func (n *node) maintained() {
	if n.disk.snapping != nil { // a state was received meanwhile, or a checkpoint begun
		n.afterDisk(n.diskDelay(n.w.mix.SnapshotWrite), n.maintained)
		return
	}
	more, err := n.disk.finishMaintenance()
	n.w.trace.text(n.w.now, n.id, "maintain", "more %t, %v", more, err)
	if errors.Is(err, rsm.ErrMachineFailed) {
		n.fail(err)
		return
	}
	if more {
		n.w.check.counts.Maintained++
	}
	n.maintain()
}

// finishMaintenance ends the step under way.
func (d *disk) finishMaintenance() (more bool, err error) {
	work := d.maintaining
	d.maintaining = nil
	if d.failNext && d.w.chance(0.3) {
		d.failNext = false
		d.w.injected(IOError)
		d.files.failAfter(8, false)
	}
	more, err = work()
	d.files.faultIn = -1
	return more, err
}
