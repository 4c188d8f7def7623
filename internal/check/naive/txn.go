package naive

import (
	"bytes"
	"cmp"

	"balsa.example/kv"
)

// plan is a transaction of which it is known what will be executed: its compares and those of
// the nested ones have seen the store before it.
type plan struct {
	succeeded bool
	ops       []kv.TxnOp
	nested    []*plan // by the number of the operation, nil if it is no transaction
}

func (m *Machine) plan(t *kv.Txn) *plan {
	p := &plan{succeeded: true, ops: t.Then}
	for _, c := range t.If {
		if !m.holds(c) {
			p.succeeded, p.ops = false, t.Else
		}
	}
	for _, op := range p.ops {
		var n *plan
		if op.Txn != nil {
			n = m.plan(op.Txn)
		}
		p.nested = append(p.nested, n)
	}
	return p
}

// holds tells whether a compare is true.
func (m *Machine) holds(c kv.Compare) bool {
	entries := m.keys(c.Span, now)
	if len(entries) == 0 {
		return c.Target != kv.TargetValue && related(c, kv.Entry{})
	}
	for _, e := range entries {
		if !related(c, e) {
			return false
		}
	}
	return true
}

func related(c kv.Compare, e kv.Entry) bool {
	var order int
	switch c.Target {
	case kv.TargetVersion:
		order = cmp.Compare(e.Version, c.Number)
	case kv.TargetCreate:
		order = cmp.Compare(e.CreateRevision, c.Number)
	case kv.TargetMod:
		order = cmp.Compare(e.ModRevision, c.Number)
	case kv.TargetLease:
		order = cmp.Compare(e.Lease, int64(c.Number))
	case kv.TargetValue:
		order = bytes.Compare(e.Value, c.Value)
	}
	switch c.Relation {
	case kv.Equal:
		return order == 0
	case kv.Greater:
		return order > 0
	case kv.Less:
		return order < 0
	}
	return order != 0
}

// refuses tells why a plan cannot be executed. The first operation that cannot decides. added
// counts the keys that the operations before hang on each lease.
func (m *Machine) refuses(p *plan, added map[int64]int) kv.Code {
	for i, op := range p.ops {
		code := kv.CodeOK
		switch {
		case op.Range != nil && op.Range.Revision > 0:
			code = m.readable(op.Range.Revision)
		case op.Put != nil:
			code = m.refusesPut(op.Put, added)
		case op.Txn != nil:
			code = m.refuses(p.nested[i], added)
		}
		if code != kv.CodeOK {
			return code
		}
	}
	return kv.CodeOK
}

func (m *Machine) refusesPut(op *kv.PutOp, added map[int64]int) kv.Code {
	old, present := m.at(op.Key, now)
	if !present && (op.IgnoreValue || op.IgnoreLease) {
		return kv.CodeNoKey
	}
	if op.Lease == 0 {
		return kv.CodeOK
	}
	if m.leases[op.Lease] == nil {
		return kv.CodeNoLease
	}
	if present && old.Lease == op.Lease {
		return kv.CodeOK
	}
	added[op.Lease]++
	if most := m.limits.LeaseKeys; most > 0 && len(m.attached(op.Lease))+added[op.Lease] > most {
		return kv.CodeLeaseFull
	}
	return kv.CodeOK
}

// txn executes a transaction.
func (m *Machine) txn(t *kv.Txn) (*kv.TxnResult, kv.Code) {
	if t == nil {
		return nil, kv.CodeInvalid
	}
	if code := t.Check(); code != kv.CodeOK {
		return nil, code
	}
	p := m.plan(t)
	if code := m.refuses(p, map[int64]int{}); code != kv.CodeOK {
		return nil, code
	}
	c := m.begin()
	r := c.execute(p)
	c.commit()
	return r, kv.CodeOK
}

func (c *change) execute(p *plan) *kv.TxnResult {
	r := &kv.TxnResult{Succeeded: p.succeeded}
	for i, op := range p.ops {
		var did kv.OpResult
		switch {
		case op.Range != nil:
			did.Range = c.ranges(op.Range)
		case op.Put != nil:
			did.Put = c.putOp(op.Put)
		case op.Delete != nil:
			did.Delete = c.deleteOp(op.Delete)
		case op.Txn != nil:
			did.Txn = c.execute(p.nested[i])
		}
		r.Responses = append(r.Responses, did)
	}
	r.Revision = c.seen()
	return r
}

func (c *change) putOp(op *kv.PutOp) *kv.PutResult {
	old, _ := c.at(op.Key, now)
	value, lease := op.Value, op.Lease
	if op.IgnoreValue {
		value = old.Value
	}
	if op.IgnoreLease {
		lease = old.Lease
	}
	e := c.put(op.Key, value, lease)
	r := &kv.PutResult{Revision: c.seen()}
	if op.Prev {
		r.Prev = e.Prev
	}
	return r
}

func (c *change) deleteOp(op *kv.DeleteOp) *kv.DeleteResult {
	r := &kv.DeleteResult{}
	for _, e := range c.keys(op.Span, now) {
		c.delete(e.Key)
		r.Deleted++
		if op.Prev {
			r.Prev = append(r.Prev, e)
		}
	}
	r.Revision = c.seen()
	return r
}
