//balsa:pure

package translate

import (
	"balsa.example/kv"
	"balsa.example/state"
)

// Shortage is what a leader has too little of.
type Shortage struct {
	LowSpace  bool // the disk has no room for more data: what is left is for deletes
	NoSpace   bool // and nothing is left of that either
	LowMemory bool // the index has grown as large as it may
	LowPlaces bool // it has as many keys, or versions of them, as it may
}

// What BUSY says where something is short.
const (
	TextLowSpace  = "the disk of this server is almost full: only deletes and compactions are taken"
	TextNoSpace   = "the disk of this server is full: not even deletes are taken"
	TextLowMemory = "the index of all keys has reached the memory that it may take: delete keys, or raise --max-index-bytes"
	TextLowPlaces = "the index of all keys can hold no more: delete keys, and compact the history"
)

// refuses is Shortage.Refuses of this server.
func (h *Handler) refuses(c state.Command) string {
	if h.Shortage == nil {
		return ""
	}
	return h.Shortage().Refuses(c)
}

// Refuses says why a command is refused, empty if it is not. Leases would expire for want of a
// keep-alive, and deletes and compactions make room: these go on.
func (s Shortage) Refuses(c state.Command) string {
	kind, frees := kindOf(c), frees(c)
	switch {
	case kind == state.KindCompact, kind == state.KindTick:
		return ""
	case s.LowSpace && !frees && kind != state.KindGrant: // a Clerk may need a session to delete
		return TextLowSpace
	case s.NoSpace:
		return TextNoSpace
	case s.LowMemory && !frees && grows(c):
		return TextLowMemory
	case s.LowPlaces && !frees && grows(c):
		return TextLowPlaces
	}
	return ""
}

func kindOf(c state.Command) state.Kind {
	if c.More == nil {
		return state.KindOp
	}
	return c.More.Kind
}

// frees tells whether a command only deletes.
func frees(c state.Command) bool {
	switch kindOf(c) {
	case state.KindOp:
		return c.Op.Kind == kv.Delete
	case state.KindRevoke:
		return true
	case state.KindTxn:
		deletes, puts := changes(c.More.Txn)
		return deletes > 0 && puts == 0
	}
	return false
}

// changes counts the deletes and puts of a transaction, whichever branch is taken.
func changes(t *kv.Txn) (deletes, puts int) {
	if t == nil {
		return 0, 0
	}
	for _, ops := range [][]kv.TxnOp{t.Then, t.Else} {
		for _, op := range ops {
			switch {
			case op.Delete != nil:
				deletes++
			case op.Put != nil:
				puts++
			case op.Txn != nil:
				d, p := changes(op.Txn)
				deletes, puts = deletes+d, puts+p
			}
		}
	}
	return deletes, puts
}

// grows tells whether a command can add to the index of all keys. A lease is not in it: a Clerk with a session opens
// that before it deletes keys.
func grows(c state.Command) bool {
	switch kindOf(c) {
	case state.KindTxn:
		return true
	case state.KindOp:
		return c.Op.Kind == kv.Put
	}
	return false
}
