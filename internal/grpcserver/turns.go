package grpcserver

import "slices"

// turns lets large messages come one after the other on a connection: those that need more than the window of their
// stream. Else a client that sends many at a time would have a part of each of them here, which counts and is of
// no use to anybody. Those whose turn it is have Config.MaxMessageBytes in all, or there is one. conn.mu guards it.
type turns struct {
	bytes   int       // of those whose turn it is
	waiting []*stream // in the order in which they began to wait
}

// turn says when the message that somebody waits for has its turn.
type turn uint8

const (
	noTurn  turn = iota // it needs none
	future              // others come first
	present             // the client may send it
	past                // it was taken
)

// large is a stream's large message. conn.mu guards it.
type large struct {
	bytes int  // 0: there is none
	comes bool // it is its turn
}

// carryOut does what is due on a stream.
func (c *conn) carryOut(st *stream, d due) {
	if d == (due{}) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[st.id] != st {
		return
	}
	if d.credit > 0 {
		c.tell(appendWindowUpdate(c.control, st.id, d.credit))
	}
	if d.over {
		c.endTurn(st)
	}
	if d.large > 0 && st.large.bytes == 0 && st.in.waitsForTurn() { // it may have come by itself meanwhile, and the next one too
		st.large.bytes = d.large
		c.turns.waiting = append(c.turns.waiting, st)
		c.nextTurns()
	}
}

// endTurn is the end of a turn, or of the wait for it. Caller holds mu.
func (c *conn) endTurn(st *stream) {
	t := &c.turns
	switch l := st.large; {
	case l.bytes == 0:
		return
	case l.comes:
		t.bytes -= l.bytes
	default:
		i := slices.Index(t.waiting, st)
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	st.large = large{}
	c.nextTurns()
}

// nextTurns begins the turns for which there is room. Caller holds mu.
func (c *conn) nextTurns() {
	t, cfg := &c.turns, &c.server.cfg
	for len(t.waiting) > 0 {
		st := t.waiting[0]
		if t.bytes > 0 && t.bytes+st.large.bytes > cfg.MaxMessageBytes {
			return
		}
		t.waiting = slices.Delete(t.waiting, 0, 1)
		t.bytes += st.large.bytes
		st.large.comes = true
		if credit := st.in.begin(cfg); credit > 0 {
			c.tell(appendWindowUpdate(c.control, st.id, credit))
		}
	}
}

func (in *inbox) waitsForTurn() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.turn == future
}

// begin begins the turn of the message that is waited for, if it has not come by itself. It returns the credit for
// the client.
func (in *inbox) begin(cfg *Config) (credit int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.turn != future {
		return 0
	}
	in.turn = present
	return in.credit(in.need(), cfg)
}
