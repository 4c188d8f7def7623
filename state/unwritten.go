package state

import (
	"errors"

	"balsa.example/rsm"
)

// The history that no file has yet is in memory. A checkpoint writes it, and is due when there is much of it (see
// CheckpointWanted). But a command of a few bytes can delete or copy any number of keys, and a disk can be slow. So there
// is a bound at which commands wait until the history is written: those of the log come to wait then, and in the end
// nothing is taken (rsm.ErrBusy). What is written so is in no manifest until the next checkpoint, as after one that
// has failed.

const (
	// unwrittenFactor times Config.MaxUnwritten may be in memory alone, with what is appended between two looks: a part
	// of that, and one revision.
	unwrittenFactor = 2
	unwrittenLooks  = 16
)

// boundUnwritten is called after each command. It waits while too much of the history is in memory alone.
func (m *Machine) boundUnwritten(p *present) {
	most := unwrittenFactor * m.cfg.MaxUnwritten
	if most <= 0 || p.history.Appended()-p.looked < most/unwrittenLooks {
		return
	}
	p.looked = p.history.Appended()
	if p.history.Unwritten() <= most {
		return
	}
	// A disk without space is no reason to stop: what makes space is a command too.
	if err := m.writeHistory(p, most); errors.Is(err, rsm.ErrMachineFailed) {
		m.failure.CompareAndSwap(nil, &err)
	}
}

// pause is Config.Pace, but for what commands wait for. It may rest as long as was worked.
func (m *Machine) pause(bytes int) { m.rest(bytes, 1) }

// resting is a pause that may rest so many times as long as was worked.
func (m *Machine) resting(times int) (pause func(bytes int)) {
	return func(bytes int) { m.rest(bytes, times) }
}

// rest is a pause of so many times what was worked, if nothing waits for it.
func (m *Machine) rest(bytes, times int) {
	if m.cfg.Pace == nil || m.waits.Load() || m.nearlyBound() {
		m.gentle.Store(false)
		return
	}
	if m.files.waiting.Load() > 0 {
		times = 1
	}
	m.gentle.Store(m.cfg.Pace(bytes, times) && times == mostRests)
}

// nearlyBound tells whether so much of the history is in memory alone that commands soon wait.
func (m *Machine) nearlyBound() bool {
	most := m.cfg.MaxUnwritten
	return most > 0 && m.present.Load().history.Unwritten() > most/2*(unwrittenFactor+1)
}

// writeHistory writes what is in memory alone, unless a checkpoint that it has to wait for leaves less than most of it.
func (m *Machine) writeHistory(p *present, most int64) (err error) {
	end := m.begin(WorkFlush)
	defer func() { end(err) }()
	m.waits.Store(true)
	defer m.waits.Store(false)
	if err := m.files.begin(m.ctx); err != nil {
		return err
	}
	defer m.files.end()
	// A state that was received takes the place of this one, and its files may go on where those of this one end.
	if m.files.received != nil || p.history.Unwritten() <= most {
		return nil
	}
	// A checkpoint may have been asked for, and not have begun. Its manifest says up to where the history goes, and so no
	// file may have more.
	mark := p.history.Mark()
	if due := p.due.Load(); due != nil {
		mark = *due
	}
	_, _, err = p.history.Flush(m.ctx, mark, nil)
	return failed(err)
}
