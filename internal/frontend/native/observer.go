package native

import (
	"strings"
	"time"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/replica"
	"balsa.example/internal/tracing"
	"balsa.example/rsm"
)

// observer makes, of the requests of one stream that the Recorder wants, what it takes. Of the others a
// request keeps a few numbers, which are overwritten by the next one. A nil observer wants none.
type observer struct {
	recorder *tracing.Recorder
	replica  *replica.Replica
	client   func() string // the address
	user     string
	opened   time.Time
}

// way is what a request knows of its own way. Times are on the observer's clock.
type way struct {
	began, started time.Duration // when it came, and when the handler got it
	done           time.Duration // when its reply was there
	trail          translate.Trail
	key            [tracing.MaxKey]byte // its beginning: the key itself would keep all of a batch in memory
	keyBytes       int
	parent         tracing.Parent
	sampled        bool
}

// observe makes the observer of a stream, nil if nobody asks.
func (s *Server) observe(client func() string, user string) *observer {
	r := s.replica.Load()
	if r == nil || !s.cfg.Recorder.On() {
		return nil
	}
	return &observer{recorder: s.cfg.Recorder, replica: r, client: client, user: user, opened: time.Now()}
}

// now is the observer's clock, 0 if there is none.
func (o *observer) now() time.Duration {
	if o == nil {
		return 0
	}
	return time.Since(o.opened)
}

// begin notes a request that is about to be handed to the handler, and returns its trail.
func (s *clientStream) begin(r *request, req *api.Request, parked time.Time) *translate.Trail {
	o := s.watch
	if o == nil {
		return nil
	}
	w := &r.way
	w.trail = translate.Trail{}
	if parked.IsZero() {
		w.began, w.started = s.batch, 0
	} else { // the goroutine that sends is here, and batch is the receiver's
		w.began, w.started = parked.Sub(o.opened), o.now()
	}
	if o.recorder.Traces() {
		w.parent = tracing.ParentOf(req.Trace)
		w.sampled = o.recorder.Samples(w.parent)
	}
	key := keyOf(req)
	w.keyBytes = len(key)
	copy(w.key[:], key)
	return &w.trail
}

// keyOf is the first key that a request names.
func keyOf(req *api.Request) []byte {
	switch call := req.Call.(type) {
	case nil:
		return req.Key
	case *api.Request_Range:
		return call.Range.GetSpan().GetFrom()
	case *api.Request_DeleteRange:
		return call.DeleteRange.GetSpan().GetFrom()
	case *api.Request_Txn:
		return keyOfTxn(call.Txn)
	}
	return req.Key
}

// keyOfTxn is the key of its first operation or, without, of its first compare.
func keyOfTxn(t *api.Txn) []byte {
	for op := range opsIn(t) {
		switch op := op.Op.(type) {
		case *api.TxnOp_Range:
			return op.Range.GetSpan().GetFrom()
		case *api.TxnOp_Put:
			return op.Put.GetKey()
		case *api.TxnOp_DeleteRange:
			return op.DeleteRange.GetSpan().GetFrom()
		}
	}
	for _, c := range t.GetCompares() {
		return c.Span.GetFrom()
	}
	return nil
}

// nameOf is a kind as metrics name it: clients must not make up any number of them.
func nameOf(kind api.Request_Kind) string {
	if name, known := api.Request_Kind_name[int32(kind)]; known {
		return strings.ToLower(name)
	}
	return "other"
}

// ended takes a request whose reply was sent, or dropped since the client has gone.
func (o *observer) ended(a answer, now time.Duration) {
	w := &a.request.way
	if !o.recorder.Wants(now-w.began, w.sampled) {
		return
	}
	at := func(d time.Duration) time.Time { return o.opened.Add(d) }
	q := &tracing.Request{
		API: "native", Kind: nameOf(a.request.kind), Outcome: strings.ToLower(a.reply.Code.String()),
		Key:    tracing.KeyText(string(w.key[:min(w.keyBytes, len(w.key))]), w.keyBytes > len(w.key)),
		Failed: reasonOf(a.reply) != "", Parent: w.parent, Sampled: w.sampled,
		Bytes: a.request.cost - requestOverhead, Client: o.client(), User: o.user, Entry: w.trail.Entry, Leads: o.replica.Node.Leads(),
		Began: at(w.began), Ended: at(now),
	}
	times := tracing.Times{Began: q.Began, Done: at(w.done), Ended: q.Ended}
	if w.started > 0 {
		times.Started = at(w.started)
	}
	if !isRead(a.request.kind) {
		var stages rsm.Stages
		if w.trail.Entry.Index > 0 {
			stages = o.replica.Node.Stages(w.trail.Entry.Index)
		}
		q.Phases = tracing.OfWrite(times, stages, false)
	} else {
		if w.trail.Fresh != 0 {
			times.Fresh = time.Now().Add(-time.Duration(o.replica.Now() - w.trail.Fresh))
		}
		q.Phases = tracing.OfRead(times)
	}
	o.recorder.Record(q)
}
