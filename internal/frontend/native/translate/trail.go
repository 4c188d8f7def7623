//balsa:pure

package translate

import "balsa.example/rsm"

// Trail is what became of one request on its way, for those who want to know where its time went. A
// Handler writes it before it calls reply, and never after. A nil Trail is for nobody.
type Trail struct {
	// Entry is the entry of the log that held a write; zero: there is none, or it is not known.
	Entry rsm.EntryID
	// Fresh is when the store was fresh enough for a read, on the clock Handler.Now; 0: it was not, or
	// there is no clock.
	Fresh int64
}

func (t *Trail) entered(e rsm.EntryID) {
	if t != nil {
		t.Entry = e
	}
}

func (t *Trail) freshAt(now int64) {
	if t != nil {
		t.Fresh = now
	}
}

// now is 0 without a clock.
func (h *Handler) now() int64 {
	if h.Now == nil {
		return 0
	}
	return h.Now()
}
