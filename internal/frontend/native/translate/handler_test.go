package translate_test

import (
	"runtime"
	"testing"
	"weak"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// slow is a replica that takes its time.
type slow struct{ finish []func() }

func (s *slow) SubmitEntryFunc(_ state.Command, done func(state.Result, rsm.EntryID, error)) {
	s.finish = append(s.finish, func() { done(state.Result{Txn: new(kv.TxnResult)}, rsm.EntryID{}, nil) })
}

func (s *slow) ReadFunc(_ raft.ReadMode, done func(error)) {
	s.finish = append(s.finish, func() { done(nil) })
}

// The requests of a batch share its memory, which is not what they count for.
func TestHandlerHoldsNoRequestThatWaits(t *testing.T) {
	replica := &slow{}
	h, _ := nodetest.New()
	h.Replica = replica
	for _, kind := range []api.Request_Kind{api.Request_PUT, api.Request_GET, api.Request_TXN, api.Request_RANGE} {
		var ids []uint64
		batch := &[2]api.Request{{Id: 7, Kind: kind, Key: []byte("k")}}
		switch kind {
		case api.Request_TXN:
			batch[0].Call = txnRequest(&api.Txn{}).Call
		case api.Request_RANGE:
			batch[0].Call = rangeRequest(&api.Range{Span: everything()}).Call
		}
		held := weak.Make(batch)
		h.Handle(&batch[0], func(r *api.Reply) { ids = append(ids, r.Id) })
		runtime.GC()
		if held.Value() != nil {
			t.Errorf("%s holds its batch while it waits", kind)
		}
		replica.finish[len(replica.finish)-1]()
		if len(ids) != 1 || ids[0] != 7 {
			t.Errorf("replies to %v, want 7", ids)
		}
	}
}
