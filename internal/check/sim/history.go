package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"balsa.example/api"
	"balsa.example/clerk"
)

// seen tells whether the operation shows a state of the store.
func (r *record) seen() bool {
	return r.verdict == clerk.Answered && r.req.Consistency != api.Request_LOCAL && !r.limited()
}

// maxOpen is how many writes of unknown outcome a key may have, so that the search ends soon.
const maxOpen = 6

// searchTime bounds a search, by the clock on the wall. Of seeds that are in order some need three
// seconds of a processor, which a machine with much to do may not give them within 20.
const searchTime = 2 * time.Minute

// linearizable checks each key with porcupine. With many writes of unknown outcome on a key
// its search takes exponential time: such keys are checked by revisions only.
func (k *checker) linearizable() {
	byKey := map[string][]porcupine.Operation{}
	open := map[string]int{}
	var keys []string
	for _, r := range k.w.records {
		unknown := r.write() && (r.verdict == clerk.Maybe || r.verdict == 0)
		if !r.seen() && !unknown {
			continue
		}
		op := porcupine.Operation{ClientId: r.client, Input: r, Output: r, Call: int64(r.called), Return: int64(r.returned)}
		if unknown {
			op.Return = 1 << 62 // it may be executed at any time, or never
			open[r.key]++
		}
		if byKey[r.key] == nil {
			keys = append(keys, r.key)
		}
		byKey[r.key] = append(byKey[r.key], op)
	}
	for _, key := range keys {
		if open[key] >= maxOpen {
			continue
		}
		switch porcupine.CheckOperationsTimeout(registerModel, byKey[key], searchTime) {
		case porcupine.Illegal:
			k.picture(byKey[key])
			k.w.failf("linearizability", "%d operations on %s", len(byKey[key]), key)
		case porcupine.Unknown:
			k.w.failf("linearizability", "no verdict in time on %d operations on %s", len(byKey[key]), key)
		}
	}
}

// picture draws a history that is not linearizable.
func (k *checker) picture(ops []porcupine.Operation) {
	if k.w.opt.Picture == "" {
		return
	}
	_, info := porcupine.CheckOperationsVerbose(registerModel, ops, searchTime)
	if err := porcupine.VisualizePath(registerModel, info, k.w.opt.Picture); err != nil {
		k.w.failf("linearizability", "and its picture cannot be drawn: %v", err)
	}
}

// register is the state of one key; version 0: absent.
type register struct {
	writer  uint64 // id of the operation that wrote the value
	version uint64
}

var registerModel = porcupine.Model{
	Init:              func() any { return register{} },
	DescribeOperation: func(in, _ any) string { return in.(*record).String() },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
	Step:              func(state, in, _ any) (bool, any) { return stepRegister(state.(register), in.(*record)) },
}

// stepRegister tells whether r can have had its outcome in a state of the key, and returns
// the next state. A write of unknown outcome that was never executed is ordered at the end,
// after all reads.
func stepRegister(state register, r *record) (bool, register) {
	code := r.reply.GetCode()
	unknown := r.verdict != clerk.Answered
	if !r.write() {
		if state.version == 0 {
			return code == api.Reply_NO_KEY, state
		}
		return code == api.Reply_OK && r.reply.Version == state.version && writer(r.reply.Value) == state.writer, state
	}
	isDelete := r.req.Kind == api.Request_DELETE
	switch {
	case state.version == 0 && (isDelete || !r.req.Unconditional && r.req.Version > 0):
		return unknown || code == api.Reply_NO_KEY, state
	case !r.req.Unconditional && r.req.Version != state.version:
		return unknown || code == api.Reply_VERSION_MISMATCH && r.reply.Version == state.version, state
	case isDelete:
		return unknown || code == api.Reply_OK, register{}
	}
	next := register{uint64(r.id), state.version + 1}
	return unknown || code == api.Reply_OK && r.reply.Version == next.version, next
}

func writer(value []byte) uint64 { return binary.LittleEndian.Uint64(value) }
