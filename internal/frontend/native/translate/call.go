//balsa:pure

package translate

import (
	"errors"
	"fmt"
	"math"

	"balsa.example/api"
	"balsa.example/kv"
)

// From the messages of package api to the types of package kv. Keys share the memory of a
// message. What is wrong with the values is found by their Validate, but for what a type of
// package kv cannot say.

// maxNesting ends the translation of transactions that stand in each other deeper than any
// that is valid.
const maxNesting = kv.MaxTxnDepth + 1

var errNoEnd = errors.New("span has neither to nor open: to end it, set to; for no upper end, set open")

func spanOf(s *api.Span) (kv.Span, error) {
	switch {
	case s == nil:
		return kv.Span{}, errors.New("span is missing")
	case s.Open && len(s.To) > 0:
		return kv.Span{}, errors.New("span is open, and has a to")
	case !s.Open && len(s.To) == 0:
		return kv.Span{}, errNoEnd
	}
	return kv.Span{From: kv.Alias(s.From), To: kv.Alias(s.To)}, nil
}

func rangeOf(r *api.Range) (*kv.RangeOp, error) {
	if r == nil {
		return nil, errors.New("range is missing")
	}
	span, err := spanOf(r.Span)
	if err != nil {
		return nil, err
	}
	if _, known := api.Range_Sort_name[int32(r.Sort)]; !known {
		return nil, fmt.Errorf("sort is unknown: %d", r.Sort)
	}
	return &kv.RangeOp{
		Span: span, Revision: r.Revision,
		Limit: int64(min(r.Limit, math.MaxInt64)), MaxBytes: int64(min(r.MaxBytes, math.MaxInt64)),
		Sort: kv.Sort(r.Sort), Descend: r.Descend, KeysOnly: r.KeysOnly, CountOnly: r.CountOnly,
		MinMod: r.MinModRevision, MaxMod: r.MaxModRevision, MinCreate: r.MinCreateRevision, MaxCreate: r.MaxCreateRevision,
	}, nil
}

func putOf(p *api.Put) (*kv.PutOp, error) {
	switch {
	case p == nil:
		return nil, errors.New("put is missing")
	case p.Lease < 0:
		return nil, fmt.Errorf("lease is %d, and must be above 0; 0: none", p.Lease)
	}
	return &kv.PutOp{
		Key: kv.Alias(p.Key), Value: p.Value, Lease: p.Lease,
		IgnoreValue: p.IgnoreValue, IgnoreLease: p.IgnoreLease, Prev: p.Prev,
	}, nil
}

func deleteOf(d *api.DeleteRange) (*kv.DeleteOp, error) {
	if d == nil {
		return nil, errors.New("delete_range is missing")
	}
	span, err := spanOf(d.Span)
	return &kv.DeleteOp{Span: span, Prev: d.Prev}, err
}

func txnOf(t *api.Txn, depth int) (*kv.Txn, error) {
	switch {
	case t == nil:
		return nil, errors.New("txn is missing")
	case depth == maxNesting:
		return nil, fmt.Errorf("transactions are nested more than %d deep", kv.MaxTxnDepth)
	}
	txn := new(kv.Txn)
	for i, c := range t.Compares {
		compare, err := compareOf(c)
		if err != nil {
			return nil, fmt.Errorf("compares[%d]: %w", i, err)
		}
		txn.If = append(txn.If, compare)
	}
	var err error
	if txn.Then, err = opsOf("then", t.Then, depth); err != nil {
		return nil, err
	}
	txn.Else, err = opsOf("else", t.Else, depth)
	return txn, err
}

func compareOf(c *api.Compare) (kv.Compare, error) {
	_, knownTarget := api.Compare_Target_name[int32(c.Target)]
	_, knownRelation := api.Compare_Relation_name[int32(c.Relation)]
	switch {
	case !knownTarget:
		return kv.Compare{}, fmt.Errorf("target is unknown: %d", c.Target)
	case !knownRelation:
		return kv.Compare{}, fmt.Errorf("relation is unknown: %d", c.Relation)
	case len(c.Value) > 0 && c.Target != api.Compare_VALUE:
		return kv.Compare{}, fmt.Errorf("value is set, but target is %s", c.Target)
	case c.Number != 0 && c.Target == api.Compare_VALUE:
		return kv.Compare{}, errors.New("number is set, but target is VALUE")
	}
	span, err := spanOf(c.Span)
	return kv.Compare{
		Span: span, Target: kv.Target(c.Target), Relation: kv.Relation(c.Relation), Number: c.Number, Value: c.Value,
	}, err
}

func opsOf(list string, ops []*api.TxnOp, depth int) ([]kv.TxnOp, error) {
	all := make([]kv.TxnOp, len(ops))
	for i, op := range ops {
		var err error
		switch op := op.Op.(type) {
		case *api.TxnOp_Range:
			all[i].Range, err = rangeOf(op.Range)
		case *api.TxnOp_Put:
			all[i].Put, err = putOf(op.Put)
		case *api.TxnOp_DeleteRange:
			all[i].Delete, err = deleteOf(op.DeleteRange)
		case *api.TxnOp_Txn:
			all[i].Txn, err = txnOf(op.Txn, depth+1)
		default:
			err = errors.New("op is missing")
		}
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", list, i, err)
		}
	}
	return all, nil
}
