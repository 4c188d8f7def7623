package kv

import "sync"

// pins are the revisions that readers are reading at. Purge leaves alone what they can see.
// Each is held for the time of one call only.
type pins struct {
	mu sync.Mutex
	at map[uint64]int
}

func (p *pins) add(revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[uint64]int{}
	}
	p.at[revision]++
}

func (p *pins) remove(revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at[revision]--; p.at[revision] == 0 {
		delete(p.at, revision)
	}
}

// oldest returns the lowest revision that is read at, or limit if that is lower.
func (p *pins) oldest(limit uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for revision := range p.at {
		limit = min(limit, revision)
	}
	return limit
}
