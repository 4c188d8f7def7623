package sim

import (
	"fmt"
	"math"
	"slices"

	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
)

// callerKeys is the prefix of the keys of callers.
const callerKeys = "t"

func (c *caller) key() string   { return c.w.key() }
func (c *caller) span() kv.Span { return c.w.span() }

func (w *world) key() string { return fmt.Sprintf("%s%d", callerKeys, w.rand.IntN(w.mix.Keys+2)) }

// span draws a span of keys of callers.
func (w *world) span() kv.Span {
	switch w.rand.IntN(4) {
	case 0:
		return kv.Single(w.key())
	case 1:
		return kv.Prefix(callerKeys)
	case 2:
		return kv.Span{From: w.key(), To: kv.Prefix(callerKeys).To}
	}
	return kv.Span{From: w.key(), To: w.key()}
}

// value is one that nobody else writes.
func (c *caller) value() []byte {
	c.w.values++
	return fmt.Appendf(nil, "%d %0*d", c.w.values, c.w.rand.IntN(c.w.mix.Padding+1), 0)
}

// lease is one that c knows, or none, or one that nobody has.
func (c *caller) lease() int64 {
	switch w := c.w; {
	case w.chance(0.02):
		return 1
	case len(c.leases) > 0 && w.chance(0.6):
		return pick(w.rand, c.leases...)
	}
	return 0
}

// draw draws what a call asks for.
func (c *caller) draw(x *call) {
	w := c.w
	if w.chance(0.35) {
		x.Range = c.drawRange()
		x.Stale = w.chance(0.1)
		x.mode = pick(w.rand, raft.ReadByIndex, raft.ReadByLease)
		x.etcd = c.etcd && x.forEtcd()
		return
	}
	x.Command = c.drawCommand()
	x.etcd = c.etcd && x.forEtcd()
	if x.Command.More != nil && x.kind() != state.KindTick {
		c.named(x.Command.More)
	}
	if c.session != 0 && !x.etcd && w.chance(0.7) && x.kind() != state.KindGrant && x.kind() != state.KindTick {
		c.seq++
		x.session = state.SessionSeq{ID: c.session, Seq: c.seq, Acked: c.acked}
		if x.Command.More == nil {
			x.Command.More = &state.More{Kind: state.KindOp}
		}
	}
}

func (c *caller) drawRange() *kv.RangeOp {
	w := c.w
	op := &kv.RangeOp{Span: c.span(), KeysOnly: w.chance(0.1), CountOnly: w.chance(0.05), Descend: w.chance(0.2)}
	if w.mix.Cold && w.chance(0.3) {
		op.Span = kv.Prefix(coldPrefix)
	}
	if w.chance(0.3) {
		op.Limit = 1 + w.rand.Int64N(3)
	}
	if w.chance(0.2) {
		op.MaxBytes = w.rand.Int64N(200)
	}
	if op.Limit == 3 && op.MaxBytes > 0 {
		op.Limit = math.MaxInt64
	}
	if w.chance(0.2) {
		op.Sort = kv.Sort(w.rand.IntN(5))
	}
	if now := w.check.truth.Revision(); w.chance(0.3) {
		op.Revision = now + 1 - min(now, w.rand.Uint64N(30)) // perhaps one to come
	}
	return op
}

func more(m state.More) state.Command { return state.Command{More: &m} }

func (c *caller) drawCommand() state.Command {
	w := c.w
	switch dice := w.rand.IntN(100); {
	case dice < 8:
		c.granting++
		m := state.More{
			Kind: state.KindGrant, Lease: int64(c.id+1)<<32 + c.granting, TTL: int64(w.mix.ElectionTimeout + w.upTo(6*w.mix.ElectionTimeout)),
			IsSession: c.session == 0,
		}
		w.check.leaseLives.granted(m.Lease, m.TTL)
		return more(m)
	case dice < 12 && len(c.leases) > 0:
		return more(state.More{Kind: state.KindRevoke, Lease: pick(w.rand, c.leases...)})
	case dice < 40 && (c.session != 0 || len(c.leases) > 0):
		ids := slices.Clone(c.leases)
		if c.session != 0 {
			ids = append(ids, c.session)
		}
		return more(state.More{Kind: state.KindTick, Leases: []int64{pick(w.rand, ids...)}})
	case dice < 44:
		now := w.check.truth.Revision()
		return more(state.More{Kind: state.KindCompact, Revision: now - min(now, w.rand.Uint64N(20))})
	case dice < 55: // of no lease: it comes into the log as kv.Codec writes it, or in a session
		return state.Command{
			Op:   kv.Op{Kind: kv.Put, Key: c.key(), Value: c.value(), Unconditional: true},
			More: &state.More{Kind: state.KindOp},
		}
	}
	return more(state.More{Kind: state.KindTxn, Txn: c.txn(2)})
}

// txn draws a transaction. Some make no sense.
func (c *caller) txn(depth int) *kv.Txn {
	w := c.w
	t := &kv.Txn{}
	for range w.rand.IntN(3) {
		t.If = append(t.If, kv.Compare{
			Span: c.span(), Target: kv.Target(w.rand.IntN(5)), Relation: kv.Relation(w.rand.IntN(4)),
			Number: pick(w.rand, 0, 1, w.check.truth.Revision()-min(5, w.check.truth.Revision())), Value: c.value(),
		})
	}
	t.Then = c.ops(depth)
	if len(t.If) > 0 {
		t.Else = c.ops(depth)
	}
	return t
}

func (c *caller) ops(depth int) (ops []kv.TxnOp) {
	w := c.w
	keys := map[string]bool{}
	for range w.rand.IntN(4) {
		switch dice := w.rand.IntN(10); {
		case dice < 5:
			op := &kv.PutOp{Key: c.key(), Value: c.value(), Lease: c.lease(), Prev: w.chance(0.5)}
			if keys[op.Key] && w.chance(0.95) {
				continue
			}
			keys[op.Key] = true
			if op.Lease == 0 && w.chance(0.1) {
				op.IgnoreLease = true
			}
			ops = append(ops, kv.TxnOp{Put: op})
		case dice < 7:
			ops = append(ops, kv.TxnOp{Range: c.drawRange()})
		case dice < 8 && len(keys) == 0:
			ops = append(ops, kv.TxnOp{Delete: &kv.DeleteOp{Span: c.span(), Prev: w.chance(0.5)}})
		case depth > 0:
			ops = append(ops, kv.TxnOp{Txn: c.txn(depth - 1)})
		}
	}
	return ops
}

func (x *call) kind() state.Kind {
	if x.Command.More == nil {
		return state.KindOp
	}
	return x.Command.More.Kind
}

// unique tells whether nothing else that is sent has the bytes of the command.
func (x *call) unique() bool {
	switch {
	case x.kind() == state.KindOp:
		return true
	case x.kind() == state.KindTxn:
		return slices.ContainsFunc(slices.Concat(x.Command.More.Txn.Then, x.Command.More.Txn.Else), func(op kv.TxnOp) bool { return op.Put != nil })
	}
	return false
}

// renew gives the command another value, so that it can be told from the attempt before, which was
// refused.
func (x *call) renew() {
	if x.Range != nil || x.session.ID != 0 {
		return
	}
	x.Command = fresh(x.Command, x.caller.value())
}

func fresh(c state.Command, value []byte) state.Command {
	if c.More.Kind == state.KindOp {
		c.Op.Value = value
		return c
	}
	if c.More.Kind != state.KindTxn {
		return c
	}
	m, t := *c.More, *c.More.Txn
	for _, list := range []*[]kv.TxnOp{&t.Then, &t.Else} {
		*list = slices.Clone(*list)
		for i, op := range *list {
			if op.Put != nil {
				p := *op.Put
				p.Value = append(slices.Clone(value), p.Key...)
				(*list)[i].Put = &p
			}
		}
	}
	m.Txn = &t
	return state.Command{More: &m}
}
