package etcd

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/metrics"
	"balsa.example/kv"
	"balsa.example/state"
)

var kvMethods = []Method{
	unary("/etcdserverpb.KV/Range", ByKeys, (*Face).encodeRange),
	stream[pb.RangeRequest]("/etcdserverpb.KV/RangeStream", ByKeys, false, (*Face).RangeStream),
	unary("/etcdserverpb.KV/Put", ByKeys, (*Face).encodePut),
	unary("/etcdserverpb.KV/DeleteRange", ByKeys, (*Face).encodeDelete),
	unary("/etcdserverpb.KV/Txn", ByKeys, (*Face).encodeTxn),
	unary("/etcdserverpb.KV/Compact", Admin, (*Face).Compact),
}

// Range reads keys. A serializable one reads what this member has, and needs no leader.
func (f *Face) Range(ctx context.Context, c *Caller, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	m, err := f.encodeRange(ctx, c, r)
	if err != nil {
		return nil, err
	}
	defer m.Free()
	return m.Response(), nil
}

// encodeRange is Range, with the response encoded for a transport.
func (f *Face) encodeRange(ctx context.Context, c *Caller, r *pb.RangeRequest) (*encodedRange, error) {
	op, err := translate.RangeOf(r, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	if !r.Serializable {
		if err := f.freshFor(ctx, c); err != nil {
			return nil, err
		}
	}
	var result kv.RangeResult
	entries, then := lentRanges.get(), metrics.Now()
	err = f.access.Read(c.user, op.Span, func() error {
		return f.reading(ctx, func(maxBytes int64) (bool, error) {
			bounded, keys := *op, 0
			bounded.MaxBytes = maxBytes
			entries, result, err = f.cfg.Node.Store().EncodeRange(bounded, entries[:0], func(dst []byte, e *kv.Entry) []byte {
				keys++
				return translate.AppendRangeEntry(dst, e)
			})
			return !translate.CutAfter(op, &result, keys), err
		})
	})
	f.cfg.Requests.Range(then, err == nil)
	if err != nil {
		lentRanges.put(entries)
		return nil, translate.ReadFailed(err)
	}
	own, lent := settle(entries)
	return &encodedRange{translate.NewRangeMessage(f.origin(), &result, own), lent}, nil
}

// Put writes a key.
func (f *Face) Put(ctx context.Context, c *Caller, r *pb.PutRequest) (*pb.PutResponse, error) {
	return decoded(f.encodePut(ctx, c, r))
}

// encodePut is Put, with the response encoded for a transport, as encodeDelete and encodeTxn are.
func (f *Face) encodePut(ctx context.Context, c *Caller, r *pb.PutRequest) (*translate.PutMessage, error) {
	command, err := translate.Put(r, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	result, err := f.submit(ctx, c, command)
	if err != nil {
		return nil, err
	}
	return translate.PutResponse(f.origin(), &result)
}

// DeleteRange deletes keys.
func (f *Face) DeleteRange(ctx context.Context, c *Caller, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	return decoded(f.encodeDelete(ctx, c, r))
}

func (f *Face) encodeDelete(ctx context.Context, c *Caller, r *pb.DeleteRangeRequest) (*translate.DeleteMessage, error) {
	command, err := translate.Delete(r, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	result, err := f.submitWhole(ctx, c, command)
	if err != nil {
		return nil, err
	}
	return translate.DeleteResponse(f.origin(), &result)
}

// Txn executes a transaction. One that reads only does not go through the log.
func (f *Face) Txn(ctx context.Context, c *Caller, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	return decoded(f.encodeTxn(ctx, c, r))
}

func (f *Face) encodeTxn(ctx context.Context, c *Caller, r *pb.TxnRequest) (*translate.TxnMessage, error) {
	txn, err := translate.Txn(r, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	if txn.ReadsOnly() {
		return f.readTxn(ctx, c, txn, translate.Serializable(r))
	}
	result, err := f.submitWhole(ctx, c, translate.TxnCommand(txn))
	if err != nil {
		return nil, err
	}
	return translate.TxnResponse(f.origin(), &result)
}

// asksForNothing tells whether a transaction has neither compares nor operations. As in etcd everybody may have it
// executed, with a user or without.
func asksForNothing(r *pb.TxnRequest) bool { return len(r.Compare)+len(r.Success)+len(r.Failure) == 0 }

func (f *Face) readTxn(ctx context.Context, c *Caller, txn *kv.Txn, serializable bool) (*translate.TxnMessage, error) {
	if !serializable {
		if err := f.freshFor(ctx, c); err != nil {
			return nil, err
		}
	}
	var result kv.TxnResult
	err := f.access.Txn(c.user, txn, func() error {
		return f.reading(ctx, func(maxBytes int64) (whole bool, err error) {
			if result, err = f.cfg.Node.Store().ReadTxn(txn, maxBytes); errors.Is(err, kv.ErrTooLarge) {
				return false, nil
			}
			return err == nil, err
		})
	})
	if err != nil {
		return nil, translate.ReadFailed(err)
	}
	f.cfg.Requests.ReadTxn(len(result.Responses)) // each is a range
	return translate.TxnResponse(f.origin(), &state.Result{Result: kv.Result{Code: result.Code, Revision: result.Revision}, Txn: &result})
}

// submitWhole executes a command that may be a transaction, and reads what the machine has cut from
// its result.
func (f *Face) submitWhole(ctx context.Context, c *Caller, command state.Command) (state.Result, error) {
	result, err := f.submit(ctx, c, command)
	if err != nil || result.Txn == nil {
		return result, err
	}
	return result, f.reading(ctx, func(maxBytes int64) (bool, error) {
		return translate.Whole(command.More.Txn, result.Txn, f.cfg.Node.Store(), maxBytes)
	})
}

// Compact forgets the history below a revision. It is physical at once: what was compacted cannot
// be read at any member that has executed the command, and files are freed in the background.
func (f *Face) Compact(ctx context.Context, c *Caller, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	command, err := translate.Compact(r)
	if err != nil {
		return nil, err
	}
	result, err := f.submit(ctx, c, command)
	if err != nil {
		return nil, err
	}
	return translate.CompactResponse(f.origin(), &result)
}
