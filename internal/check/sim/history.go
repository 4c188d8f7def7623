package sim

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"balsa.example/api"
	"balsa.example/clerk"
)

// Both checks of this file use only what clients have observed.

// seen tells whether the operation shows a state of the store.
func (r *record) seen() bool {
	return r.verdict == clerk.Answered && r.req.Consistency != api.Request_LOCAL
}

// revisions checks the history in the order of the store's revisions, which each answer
// carries. This order is one for all keys.
func (k *checker) revisions() {
	var all []*record
	for _, r := range k.w.records {
		if r.seen() {
			all = append(all, r)
		}
	}
	// The write that made a revision comes first, then reads and refusals at that revision.
	slices.SortStableFunc(all, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.reply.Revision, b.reply.Revision), cmp.Compare(a.effect(), b.effect()))
	})
	h := replay{w: k.w, keys: map[string]*replayedKey{}, writes: map[uint64]*record{}, read: map[uint64]*record{}}
	for len(all) > 0 {
		// Operations at one revision that change nothing may be in any order.
		n := 1
		for all[0].effect() == 1 && n < len(all) && all[n].reply.Revision == all[0].reply.Revision {
			n++
		}
		h.realTime(all[:n])
		for _, r := range all[:n] {
			h.content(r)
		}
		all = all[n:]
	}
}

// effect returns 0 if the operation made the revision that its answer carries, else 1.
func (r *record) effect() int {
	if r.write() && r.reply.Code == api.Reply_OK {
		return 0
	}
	return 1
}

// replay goes through the history by revision. A revision that no answer carries as its own
// was made by a write whose answer was lost.
type replay struct {
	w      *world
	latest *record // of the records so far, the one that was called last
	keys   map[string]*replayedKey
	writes map[uint64]*record // writes that were answered, by revision
	read   map[uint64]*record // the first read of the value that was written at a revision
}

// replayedKey is a key with its latest write that was answered.
type replayedKey struct{ write *record }

// realTime checks that no operation is ordered after one that began after its end.
func (h *replay) realTime(group []*record) {
	for _, r := range group {
		if h.latest != nil && r.returned < h.latest.called {
			h.w.failf("revision order", "%s\n\tis ordered after, but had ended before: %s", r, h.latest)
		}
	}
	for _, r := range group {
		if h.latest == nil || r.called > h.latest.called {
			h.latest = r
		}
	}
}

// content checks that an answer shows the key as the latest write left it.
func (h *replay) content(r *record) {
	key := h.keys[r.key]
	if key == nil {
		key = &replayedKey{}
		h.keys[r.key] = key
	}
	if r.effect() == 0 {
		if other := h.writes[r.reply.Revision]; other != nil {
			h.w.failf("revision order", "two writes have one revision: %s\n\tand %s", other, r)
		}
		h.writes[r.reply.Revision] = r
		key.write = r
		return
	}
	at := r.reply.ModRevision
	if at == 0 {
		if key.write != nil && key.write.req.Kind == api.Request_PUT && !h.lostWrite(r.key, api.Request_DELETE) {
			h.w.failf("lost write", "%s\n\tsees nothing of %s", r, key.write)
		}
		return
	}
	if key.write != nil && at < key.write.reply.Revision {
		h.w.failf("stale answer", "%s\n\tsees nothing of %s", r, key.write)
	}
	if from := h.writes[at]; from != nil {
		if from.key != r.key || from.req.Kind != api.Request_PUT || from.reply.Version != r.reply.Version ||
			!r.write() && writer(r.reply.Value) != uint64(from.id) {
			h.w.failf("wrong answer", "%s\n\tsees something else than %s", r, from)
		}
		return
	}
	if r.write() {
		return // a refusal, which does not show the value
	}
	from := h.w.records[writer(r.reply.Value)]
	if from.key != r.key || from.seen() || from.verdict == clerk.Dropped {
		h.w.failf("wrong answer", "%s\n\tsees at revision %d, which nothing claims: %s", r, at, from)
	}
	if first := h.read[at]; first == nil {
		h.read[at] = r
	} else if writer(first.reply.Value) != writer(r.reply.Value) || first.reply.Version != r.reply.Version {
		h.w.failf("wrong answer", "%s\n\tand %s see different things", first, r)
	}
}

// lostWrite tells whether there is a write of unknown outcome on a key.
func (h *replay) lostWrite(key string, kind api.Request_Kind) bool {
	return slices.ContainsFunc(h.w.records, func(r *record) bool {
		return r.key == key && r.req.Kind == kind && !r.seen()
	})
}

// maxOpen is how many writes of unknown outcome a key may have, so that the search ends soon.
const maxOpen = 6

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
		switch porcupine.CheckOperationsTimeout(registerModel, byKey[key], 20*time.Second) {
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
	_, info := porcupine.CheckOperationsVerbose(registerModel, ops, 20*time.Second)
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
