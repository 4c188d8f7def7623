package history

import (
	"fmt"

	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/state"
)

// Call is one call of the whole interface of the service, with its answer.
type Call struct {
	Client int
	// Command is what the client wants to be executed. It has no session, no stamp, and no
	// Attempt. A get is one too, wherever it was answered.
	Command state.Command
	// Range is a read of keys, if it is not nil. Then Found is its answer.
	Range *kv.RangeOp
	Found kv.RangeResult
	// Stale is set for a read of what one server has, however old that is.
	Stale bool
	// Known tells whether there was an answer. A command without one may be executed once at
	// any time after Called, or never.
	Known bool
	// Result is the answer. That to a Range has the code and the store's revision. Replayed
	// tells that it is what the session has kept of the outcome.
	Result           state.Result
	Called, Returned int64
}

func (c *Call) String() string {
	what := naive.Text(c.Command)
	if c.Range != nil {
		what = "range" + naive.Text(c.Range)
	}
	if !c.Known {
		return fmt.Sprintf("client %d, from %d: %s -> unknown", c.Client, c.Called, what)
	}
	answer := naive.Text(c.Result)
	if c.Range != nil {
		answer += " " + naive.Text(c.Found)
	}
	return fmt.Sprintf("client %d, %d to %d: %s -> %s", c.Client, c.Called, c.Returned, what, answer)
}

// kind is that of the command.
func (c *Call) kind() state.Kind {
	if c.Command.More == nil {
		return state.KindOp
	}
	return c.Command.More.Kind
}

// position is the revision of the store at which the call was answered.
func (c *Call) position() uint64 {
	if c.Result.Replayed {
		return c.Result.DoneAt
	}
	return c.Result.Revision
}

// bare tells that the answer says when a transaction was executed, and not whether it has made a
// revision.
func (c *Call) bare() bool {
	return c.Result.Replayed && c.Result.Kept != state.KeptResult && c.kind() == state.KindTxn
}

// made tells whether the answer says that the command has made the revision of its position.
func (c *Call) made() bool {
	switch {
	case !c.Known || c.Range != nil || c.Result.Code != kv.CodeOK:
		return false
	case c.kind() == state.KindOp:
		return c.Command.Op.Kind != kv.Get
	case c.kind() == state.KindTxn && !c.bare():
		return changed(c.Result.Txn)
	}
	return false
}

func changed(r *kv.TxnResult) bool {
	for _, op := range r.Responses {
		if op.Put != nil || op.Delete != nil && op.Delete.Deleted > 0 || op.Txn != nil && changed(op.Txn) {
			return true
		}
	}
	return false
}
