package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
)

var kvMethods = []Method{
	unary("/etcdserverpb.KV/Range", ByKeys, (*Face).Range),
	stream[pb.RangeRequest]("/etcdserverpb.KV/RangeStream", ByKeys, false, (*Face).RangeStream),
	unary("/etcdserverpb.KV/Put", ByKeys, (*Face).Put),
	unary("/etcdserverpb.KV/DeleteRange", ByKeys, (*Face).DeleteRange),
	unary("/etcdserverpb.KV/Txn", ByKeys, (*Face).Txn),
	unary("/etcdserverpb.KV/Compact", Admin, (*Face).Compact),
}

// Range reads keys. A serializable one reads what this member has, and needs no leader.
func (f *Face) Range(ctx context.Context, c *Caller, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	op, err := translate.RangeOf(r, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	if !r.Serializable {
		if err := f.fresh(ctx); err != nil {
			return nil, err
		}
	}
	var result kv.RangeResult
	err = f.access.Read(c.user, op.Span, func() (err error) {
		result, err = f.cfg.Node.Store().Range(*op)
		return err
	})
	if err != nil {
		return nil, translate.ReadFailed(err)
	}
	return translate.RangeResponse(f.origin(), &result), nil
}

// Put writes a key.
func (f *Face) Put(ctx context.Context, c *Caller, r *pb.PutRequest) (*pb.PutResponse, error) {
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
	command, err := translate.Delete(r, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	result, err := f.submit(ctx, c, command)
	if err != nil {
		return nil, err
	}
	return translate.DeleteResponse(f.origin(), &result)
}

// Txn executes a transaction.
func (f *Face) Txn(ctx context.Context, c *Caller, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	txn, err := translate.Txn(r, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	result, err := f.submit(ctx, c, translate.TxnCommand(txn))
	if err != nil {
		return nil, err
	}
	return translate.TxnResponse(f.origin(), &result)
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
