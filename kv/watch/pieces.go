package watch

import (
	"fmt"
	"sync"

	"balsa.example/kv"
)

// pieces reads the history for all watchers that are behind. Those who want about the same at
// about the same time share what is read, and those of one group what is made of it.
type pieces struct {
	// mu is held while the history is read, so that others who want the same wait for it.
	mu     sync.Mutex
	recent []*piece // the one that was used last is last
}

// keptPieces is how many pieces are kept at most.
const keptPieces = 4

// piece is a part of the history, with all revisions from begin to end.
type piece struct {
	generation uint64 // of the Hub when it was read
	begin, end uint64
	revisions  []revision
	size       int // of revisions, in bytes
	// batches are of the groups that have asked, as long as they have few bytes together, with what they are encoded to.
	batches map[*group]found
	bytes   int
}

// found is what a piece has for a group: all batches from one revision up to another.
type found struct {
	begin, end uint64
	batches    []*Batch
}

// read returns what a group is due in a part of the history that has the revision next. There are so many copies of each
// batch.
func (p *pieces) read(history History, g *group, next, generation uint64, copies int, limits *Limits) (found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.drop(limits.allPieces(), 1)
	x, err := p.piece(history, next, generation, limits.PieceBytes)
	if err != nil {
		return found{}, err
	}
	if f, ok := x.batches[g]; ok && f.begin <= next {
		return f, nil
	}
	f, err := x.match(history, g, next)
	if err != nil {
		return found{}, err
	}
	size := 0
	for _, b := range f.batches {
		size += copies * b.size
	}
	if x.bytes+size <= limits.PieceBatchBytes {
		x.batches[g] = f
		x.bytes += size
	}
	return f, nil
}

// drop drops the oldest pieces, until the others have max bytes at most, or there are so few of them.
func (p *pieces) drop(max, least int) {
	bytes := 0
	for _, x := range p.recent {
		bytes += x.size + x.bytes
	}
	for len(p.recent) > least && bytes > max {
		bytes -= p.recent[0].size + p.recent[0].bytes
		p.recent[0] = nil
		p.recent = p.recent[1:]
	}
}

// release drops what is too large to be kept for somebody who may come. Nobody reads the history.
func (p *pieces) release(max int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(max, 0)
}

// piece returns a piece with a revision, and reads it if need be.
func (p *pieces) piece(history History, next, generation uint64, maxBytes int) (*piece, error) {
	until := ^uint64(0)
	for i, x := range p.recent {
		switch {
		case x.generation != generation:
		case x.begin <= next && next <= x.end:
			p.recent = append(append(p.recent[:i:i], p.recent[i+1:]...), x)
			return x, nil
		case next < x.begin:
			until = min(until, x.begin) // what follows is there
		}
	}
	x, err := scan(history, next, until, maxBytes)
	if err != nil {
		return nil, err
	}
	x.generation = generation
	if len(p.recent) == keptPieces {
		p.recent[0] = nil
		p.recent = p.recent[1:]
	}
	p.recent = append(p.recent, x)
	return x, nil
}

// scan reads a piece that ends before a revision.
func scan(history History, next, until uint64, maxBytes int) (*piece, error) {
	x := &piece{begin: next, end: next - 1, batches: map[*group]found{}}
	err := history.Scan(next, func(number uint64, events []kv.Event) bool {
		if number != x.end+1 {
			return false
		}
		x.end = number
		x.revisions = append(x.revisions, revision{number, events})
		for i := range events {
			x.size += sizeOf(&events[i])
		}
		return x.size < maxBytes && number+1 < until
	})
	switch {
	case err != nil:
		return nil, err
	case x.end < x.begin:
		return nil, fmt.Errorf("revision %d is missing", next)
	}
	return x, nil
}

// match makes the batches of a group from a revision on. What keys held before the events of
// earlier revisions may be compacted.
func (x *piece) match(history History, g *group, begin uint64) (f found, err error) {
	f = found{begin: begin, end: x.end}
	for _, r := range x.revisions[begin-x.begin:] {
		var events []kv.Event
		for _, e := range r.events {
			if !g.Contains(e.Key) || !g.passes(&e) {
				continue
			}
			if g.Prev {
				if e.Prev, err = history.Previous(e.Key, r.number); err != nil {
					return f, err
				}
			}
			events = append(events, e)
		}
		if events != nil {
			f.batches = append(f.batches, newBatch(r.number, events))
		}
	}
	return f, nil
}
