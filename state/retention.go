package state

import (
	"balsa.example/kv"
	"balsa.example/state/logtime"
)

// Retention says how much of the history is kept. The history is compacted beyond whichever
// keeps less.
type Retention struct {
	Revisions uint64 // 0: any number
	// Age is in log time, which passes while there are writes or leases. 0: any.
	Age logtime.Time
}

// CompactionDue returns the revision at which the leader should propose to compact, 0 if it is
// not worth it yet: less than a tenth of the history would go.
func (m *Machine) CompactionDue(r Retention) uint64 {
	p := m.present.Load()
	f := p.keys.Figures()
	var to uint64
	if r.Revisions > 0 && f.Revision > r.Revisions {
		to = f.Revision - r.Revisions
	}
	if r.Age > 0 {
		p.leases.mu.Lock()
		now := p.leases.table.Stamp().Log
		p.leases.mu.Unlock()
		to = max(to, p.times.before(now-r.Age))
	}
	if to <= f.Compacted || to-f.Compacted < (f.Revision-f.Compacted)/10 {
		return 0
	}
	return to
}

func (p *present) compact(revision uint64) Result {
	code := p.keys.Compact(revision)
	if code == kv.CodeOK {
		p.times.forget(revision)
	}
	return p.refusal(code)
}
