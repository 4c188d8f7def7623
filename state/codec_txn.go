package state

import "balsa.example/kv"

// The kinds of operations in a transaction. They stand in the log and never change.
const (
	opRange  = 1
	opPut    = 2
	opDelete = 3
	opTxn    = 4
)

func (e *encoder) txn(t *kv.Txn) {
	e.number(uint64(len(t.If)))
	for i := range t.If {
		e.compare(&t.If[i])
	}
	for _, ops := range [][]kv.TxnOp{t.Then, t.Else} {
		e.number(uint64(len(ops)))
		for i := range ops {
			e.op(&ops[i])
		}
	}
}

func (e *encoder) compare(c *kv.Compare) {
	e.span(c.Span)
	e.b = append(e.b, byte(c.Target), byte(c.Relation))
	e.number(c.Number)
	e.bytes(c.Value)
}

func (e *encoder) op(op *kv.TxnOp) {
	switch {
	case op.Range != nil:
		e.b = append(e.b, opRange)
		e.rangeOp(op.Range)
	case op.Put != nil:
		p := op.Put
		e.b = append(e.b, opPut)
		e.text(p.Key)
		e.bytes(p.Value)
		e.number(uint64(p.Lease))
		e.flags(p.IgnoreValue, p.IgnoreLease, p.Prev)
	case op.Delete != nil:
		e.b = append(e.b, opDelete)
		e.span(op.Delete.Span)
		e.flag(op.Delete.Prev)
	case op.Txn != nil:
		e.b = append(e.b, opTxn)
		e.txn(op.Txn)
	default:
		e.b = append(e.b, 0) // the store refuses it, on every replica
	}
}

func (e *encoder) rangeOp(r *kv.RangeOp) {
	e.span(r.Span)
	e.flags(r.Descend, r.KeysOnly, r.CountOnly, r.NoCount, r.LimitFirst)
	e.b = append(e.b, byte(r.Sort))
	for _, v := range []uint64{
		r.Revision, uint64(r.Limit), uint64(r.MaxBytes), r.MinMod, r.MaxMod, r.MinCreate, r.MaxCreate,
	} {
		e.number(v)
	}
}

func (d *decoder) txn(depth int) *kv.Txn {
	t := new(kv.Txn)
	if depth > maxDepth {
		d.fail(errTooDeep)
		return t
	}
	t.If = make([]kv.Compare, d.count(6))
	for i := range t.If {
		c := &t.If[i]
		c.Span, c.Target, c.Relation = d.span(), kv.Target(d.byte()), kv.Relation(d.byte())
		c.Number, c.Value = d.number(), d.bytes()
	}
	for _, ops := range []*[]kv.TxnOp{&t.Then, &t.Else} {
		*ops = make([]kv.TxnOp, d.count(1))
		for i := range *ops {
			d.op(&(*ops)[i], depth)
		}
	}
	return t
}

func (d *decoder) op(op *kv.TxnOp, depth int) {
	switch d.byte() {
	case opRange:
		op.Range = d.rangeOp()
	case opPut:
		p := &kv.PutOp{Key: d.text(), Value: d.bytes(), Lease: int64(d.number())}
		flags := d.byte()
		p.IgnoreValue, p.IgnoreLease, p.Prev = flags&1 != 0, flags&2 != 0, flags&4 != 0
		op.Put = p
	case opDelete:
		op.Delete = &kv.DeleteOp{Span: d.span(), Prev: d.flag()}
	case opTxn:
		op.Txn = d.txn(depth + 1)
	}
}

func (d *decoder) rangeOp() *kv.RangeOp {
	r := &kv.RangeOp{Span: d.span()}
	flags := d.byte()
	r.Descend, r.KeysOnly, r.CountOnly, r.NoCount = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	r.LimitFirst = flags&16 != 0
	r.Sort = kv.Sort(d.byte())
	r.Revision, r.Limit, r.MaxBytes = d.number(), int64(d.number()), int64(d.number())
	r.MinMod, r.MaxMod, r.MinCreate, r.MaxCreate = d.number(), d.number(), d.number(), d.number()
	return r
}
