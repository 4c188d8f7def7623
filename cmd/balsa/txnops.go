package main

import (
	"slices"
	"strconv"

	"balsa.example/clerk"
)

// ops reads operations up to what cannot begin one.
func (p *txnParser) ops() (list []txnOp, err error) {
	for {
		for p.accept(";") {
		}
		before, t := p.last, p.next()
		if t.kind == tokenEnd || t.text == ")" && t.kind == tokenMark || t.text == "else" && t.kind == tokenWord {
			return list, nil
		}
		if parted := before.kind == tokenMark && before.text == ";" || before.line != t.line; len(list) > 0 && !parted {
			return nil, p.unexpected("; or a new line")
		}
		op, err := p.op()
		if err != nil {
			return nil, err
		}
		list = append(list, op)
	}
}

// op reads one operation.
func (p *txnParser) op() (txnOp, error) {
	t := p.next()
	switch {
	case p.accept("put"):
		return p.put()
	case p.accept("get"):
		return p.get()
	case p.accept("del"):
		keys, written, err := p.keys()
		var options []clerk.DeleteOption
		if err == nil && p.accept("prev") {
			options = append(options, clerk.WithPrev())
		}
		return txnOp{verb: "del", keys: written, op: clerk.OpDelete(keys, options...)}, err
	case p.accept("("):
		txn, err := p.txn()
		if err == nil {
			err = p.expect(")")
		}
		if err != nil {
			return txnOp{}, err
		}
		return txnOp{verb: "txn", op: clerk.OpTxn(txn.conditions, clerkOps(txn.then), clerkOps(txn.otherwise)), txn: txn}, nil
	}
	verbs := []string{"put", "get", "del"}
	if t.kind != tokenWord {
		return txnOp{}, p.unexpected("put, get, del or (")
	}
	return txnOp{}, t.fail("%s is not an operation; operations are put, get, del and (if ...)%s", t, didYouMean(t.text, verbs))
}

func (p *txnParser) put() (txnOp, error) {
	key, err := p.key()
	if err != nil {
		return txnOp{}, err
	}
	value, err := p.word("a value")
	if err != nil {
		return txnOp{}, err
	}
	var options []clerk.PutOption
	if p.accept("lease") {
		id, err := p.lease()
		if err != nil {
			return txnOp{}, err
		}
		options = append(options, clerk.WithLease(id))
	} else if p.accept("keep-lease") {
		options = append(options, clerk.KeepLease())
	}
	if p.accept("prev") {
		options = append(options, clerk.WithPrev())
	}
	return txnOp{verb: "put", keys: strconv.Quote(key), op: clerk.OpPut(key, []byte(value), options...)}, nil
}

func (p *txnParser) get() (txnOp, error) {
	keys, written, err := p.keys()
	var options []clerk.RangeOption
	if err == nil && p.accept("limit") {
		var n uint64
		n, err = p.count("how many keys at most")
		options = append(options, clerk.Limit(n))
	}
	if err == nil && p.accept("keys-only") {
		options = append(options, clerk.KeysOnly())
	}
	if err == nil && p.accept("descending") {
		options = append(options, clerk.Descending())
	}
	return txnOp{verb: "get", keys: written, op: clerk.OpRange(keys, options...)}, err
}

func clerkOps(list []txnOp) (ops []clerk.TxnOp) {
	for op := range slices.Values(list) {
		ops = append(ops, op.op)
	}
	return ops
}
