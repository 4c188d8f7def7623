package etcd

import (
	"context"
	"errors"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/tracing"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// way is what a call knows of its own way.
type way struct {
	began  time.Time
	fresh  time.Time   // when the state was fresh enough for a read; zero: it was not, or had not to be
	wrote  bool        // it was handed to the Node as a command
	entry  rsm.EntryID // of the command
	failed bool        // the Node had no result of it

	parent  tracing.Parent
	sampled bool
}

// waits are the methods that return when something happens: they are not slow.
var waits = map[string]bool{"/v3lockpb.Lock/Lock": true, "/v3electionpb.Election/Campaign": true}

// begin is the way of a call that begins now.
func (f *Face) begin(c *Caller) way {
	w := way{began: time.Now()}
	if f.cfg.Recorder.Traces() {
		w.parent = tracing.ParentOfText(c.Traceparent)
		w.sampled = f.cfg.Recorder.Samples(w.parent)
	}
	return w
}

// ended tells the Recorder of a call, if it wants that.
func (f *Face) ended(ctx context.Context, method string, c *Caller, req proto.Message, err error, now time.Time) {
	w := &c.way
	if !f.cfg.Recorder.Wants(now.Sub(w.began), w.sampled) {
		return
	}
	leads := uint64(f.cfg.Node.Leader()) == f.cfg.MemberID
	key := keyOf(req)
	q := &tracing.Request{
		API: "etcd", Kind: strings.ToLower(method[strings.LastIndex(method, "/")+1:]), Outcome: outcomeOf(err),
		Key:    tracing.KeyText(string(key[:min(len(key), tracing.MaxKey)]), len(key) > tracing.MaxKey),
		Failed: err != nil, Parent: w.parent, Sampled: w.sampled,
		Bytes: int64(proto.Size(req)), User: c.user.Name, Entry: w.entry, Leads: leads, Began: w.began, Ended: now,
	}
	if f.cfg.Client != nil {
		q.Client = f.cfg.Client(ctx)
	}
	times := tracing.Times{Began: w.began, Fresh: w.fresh, Done: now, Ended: now}
	if !w.wrote {
		q.Phases = tracing.OfRead(times)
	} else {
		var stages rsm.Stages
		if w.entry.Index > 0 && f.cfg.Stages != nil {
			stages = f.cfg.Stages(w.entry.Index)
		}
		q.Phases = tracing.OfWrite(times, stages, !leads && f.cfg.Node.Leader() != raft.None)
	}
	f.cfg.Recorder.Record(q)
}

// outcomeOf is ok, or the text of an error for clients.
func outcomeOf(err error) string {
	var known *translate.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &known):
		return known.Text
	}
	return err.Error()
}

// keyOf is the first key that a request names.
func keyOf(req proto.Message) []byte {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return r.Key
	case *pb.PutRequest:
		return r.Key
	case *pb.DeleteRangeRequest:
		return r.Key
	case *pb.TxnRequest:
		return keyOfTxn(r)
	}
	return nil
}

// keyOfTxn is the key of the first operation or, without, of the first compare.
func keyOfTxn(t *pb.TxnRequest) []byte {
	for _, ops := range [][]*pb.RequestOp{t.Success, t.Failure} {
		for _, op := range ops {
			switch op := op.Request.(type) {
			case *pb.RequestOp_RequestRange:
				return op.RequestRange.GetKey()
			case *pb.RequestOp_RequestPut:
				return op.RequestPut.GetKey()
			case *pb.RequestOp_RequestDeleteRange:
				return op.RequestDeleteRange.GetKey()
			}
		}
	}
	for _, c := range t.Compare {
		return c.GetKey()
	}
	return nil
}
