package translate_test

import (
	"runtime"
	"testing"
	"weak"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
)

// slow is a replica that takes its time.
type slow struct{ finish []func() }

func (s *slow) SubmitFunc(_ kv.Op, done func(kv.Result, error)) {
	s.finish = append(s.finish, func() { done(kv.Result{}, nil) })
}

func (s *slow) ReadFunc(_ raft.ReadMode, done func(error)) {
	s.finish = append(s.finish, func() { done(nil) })
}

// The requests of a batch share its memory, which is not what they count for.
func TestHandlerHoldsNoRequestThatWaits(t *testing.T) {
	replica := &slow{}
	h := &translate.Handler{Replica: replica, Store: kv.NewStore()}
	for _, kind := range []api.Request_Kind{api.Request_PUT, api.Request_GET} {
		var ids []uint64
		batch := &[2]api.Request{{Id: 7, Kind: kind, Key: []byte("k")}}
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
