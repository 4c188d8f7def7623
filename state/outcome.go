package state

import (
	"errors"

	"balsa.example/kv"
)

// Of an outcome a session keeps a Result in its byte form, a version byte and the fields; and
// where that has no room, one byte: the code + 1, txnBit for a transaction that was executed, and
// succeededBit if its compares were true.
const (
	resultFormat = 2 // 1 had no lease
	txnBit       = 0x40
	succeededBit = 0x80
)

var errResult = errors.New("state: outcome has an unknown format")

// codeByte is what a session keeps of r in any case. It is never 0.
func codeByte(r Result) byte {
	b := byte(r.Code) + 1
	if r.Txn != nil {
		b |= txnBit
		if r.Txn.Succeeded {
			b |= succeededBit
		}
	}
	return b
}

// resultOfByte is what a codeByte tells of a command's result.
func resultOfByte(b byte) (r Result) {
	r.Code = kv.Code(b&^(txnBit|succeededBit) - 1)
	if b&txnBit != 0 {
		r.Txn = &kv.TxnResult{Succeeded: b&succeededBit != 0}
	}
	return r
}

// appendResult appends the encoding of r to dst.
func appendResult(dst []byte, r Result) []byte {
	e := encoder{append(dst, resultFormat, byte(r.Code))}
	e.bytes(r.Value)
	for _, v := range []uint64{r.Version, r.CreateRevision, r.ModRevision, uint64(r.Lease), r.Revision, r.DeleteRevision} {
		e.number(v)
	}
	e.number(uint64(len(r.TTL)))
	for _, v := range r.TTL {
		e.number(uint64(v))
	}
	e.flag(r.Txn != nil)
	if r.Txn != nil {
		e.txnResult(r.Txn)
	}
	return e.b
}

func decodeResult(b []byte) (r Result, err error) {
	if len(b) < 2 || b[0] == 0 || b[0] > resultFormat {
		return r, errResult
	}
	d := decoder{b: b[2:]}
	r.Code, r.Value = kv.Code(b[1]), d.bytes()
	for _, v := range []*uint64{&r.Version, &r.CreateRevision, &r.ModRevision} {
		*v = d.number()
	}
	if b[0] > 1 {
		r.Lease = int64(d.number())
	}
	r.Revision, r.DeleteRevision = d.number(), d.number()
	if n := d.count(1); n > 0 {
		r.TTL = make([]int64, n)
		for i := range r.TTL {
			r.TTL[i] = int64(d.number())
		}
	}
	if d.flag() {
		r.Txn = d.txnResult(0)
	}
	return r, d.err
}

func (e *encoder) txnResult(r *kv.TxnResult) {
	e.b = append(e.b, byte(r.Code))
	e.flag(r.Succeeded)
	e.number(r.Revision)
	e.number(uint64(len(r.Responses)))
	for i := range r.Responses {
		e.opResult(&r.Responses[i])
	}
}

func (e *encoder) opResult(r *kv.OpResult) {
	switch {
	case r.Range != nil:
		e.b = append(e.b, opRange)
		e.entries(r.Range.Entries)
		e.number(uint64(r.Range.Count))
		e.flag(r.Range.More)
		e.number(r.Range.Revision)
	case r.Put != nil:
		e.b = append(e.b, opPut)
		e.number(r.Put.Revision)
		e.flag(r.Put.Prev != nil) // More is for results that are too large to be kept
		if r.Put.Prev != nil {
			e.entry(r.Put.Prev)
		}
	case r.Delete != nil:
		e.b = append(e.b, opDelete)
		e.number(r.Delete.Revision)
		e.number(uint64(r.Delete.Deleted))
		e.entries(r.Delete.Prev)
		e.flag(r.Delete.More)
	default:
		e.b = append(e.b, opTxn)
		e.txnResult(r.Txn)
	}
}

func (e *encoder) entries(es []kv.Entry) {
	e.number(uint64(len(es)))
	for i := range es {
		e.entry(&es[i])
	}
}

func (e *encoder) entry(v *kv.Entry) {
	e.text(v.Key)
	e.bytes(v.Value)
	e.number(v.Version)
	e.number(v.CreateRevision)
	e.number(v.ModRevision)
	e.number(uint64(v.Lease))
}

func (d *decoder) txnResult(depth int) *kv.TxnResult {
	r := new(kv.TxnResult)
	if depth > maxDepth {
		d.fail(errTooDeep)
		return r
	}
	r.Code, r.Succeeded, r.Revision = kv.Code(d.byte()), d.flag(), d.number()
	r.Responses = make([]kv.OpResult, d.count(2))
	for i := range r.Responses {
		d.opResult(&r.Responses[i], depth)
	}
	return r
}

func (d *decoder) opResult(r *kv.OpResult, depth int) {
	switch kind := d.byte(); kind {
	case opRange:
		r.Range = &kv.RangeResult{Entries: d.entries(), Count: int64(d.number()), More: d.flag(), Revision: d.number()}
	case opPut:
		r.Put = &kv.PutResult{Revision: d.number()}
		if d.flag() {
			e := d.entry()
			r.Put.Prev = &e
		}
	case opDelete:
		r.Delete = &kv.DeleteResult{Revision: d.number(), Deleted: int64(d.number()), Prev: d.entries(), More: d.flag()}
	case opTxn:
		r.Txn = d.txnResult(depth + 1)
	default:
		d.fail(errResult)
	}
}

func (d *decoder) entries() []kv.Entry {
	n := d.count(6)
	if n == 0 {
		return nil
	}
	es := make([]kv.Entry, n)
	for i := range es {
		es[i] = d.entry()
	}
	return es
}

func (d *decoder) entry() kv.Entry {
	return kv.Entry{
		Key: d.text(), Value: d.bytes(), Version: d.number(),
		CreateRevision: d.number(), ModRevision: d.number(), Lease: int64(d.number()),
	}
}
