package history

import (
	"slices"

	"balsa.example/kv"
	"balsa.example/state"
)

// trace is what an event has in common with the operation that made it. Commands of unknown
// outcome are found by it: most values are written once.
type trace struct {
	put   bool
	key   string // empty: of any key
	value string // of a put; empty also where the operation says none
}

// traces returns where to look for what made an event.
func traces(e kv.Event) []trace {
	if e.Deleted {
		return []trace{traceOf(e), {}}
	}
	list := []trace{traceOf(e)}
	if len(e.Value) > 0 {
		list = append(list, trace{put: true, key: e.Key})
	}
	return list
}

// traceOf returns the trace of a put that writes a value, and of a delete of one key.
func traceOf(e kv.Event) trace {
	return trace{put: !e.Deleted, key: e.Key, value: string(e.Value)}
}

// tracesOf returns those of all events that a command may make.
func tracesOf(c state.Command) (list []trace) {
	switch {
	case c.More == nil || c.More.Kind == state.KindOp:
		if c.Op.Kind == kv.Put {
			return []trace{{put: true, key: c.Op.Key, value: string(c.Op.Value)}}
		}
		return []trace{{key: c.Op.Key}}
	case c.More.Kind == state.KindTxn && c.More.Txn != nil:
		return unique(tracesOfTxn(c.More.Txn))
	}
	return nil
}

func tracesOfTxn(t *kv.Txn) (list []trace) {
	for _, op := range slices.Concat(t.Then, t.Else) {
		switch {
		case op.Put != nil:
			list = append(list, trace{put: true, key: op.Put.Key, value: string(op.Put.Value)})
		case op.Delete != nil:
			key, one := op.Delete.One()
			if !one {
				key = ""
			}
			list = append(list, trace{key: key})
		case op.Txn != nil:
			list = append(list, tracesOfTxn(op.Txn)...)
		}
	}
	return list
}

func unique(list []trace) (once []trace) {
	for _, t := range list {
		if !slices.Contains(once, t) {
			once = append(once, t)
		}
	}
	return once
}
