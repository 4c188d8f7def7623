package server

import (
	"testing"

	"balsa.example/api"
	"balsa.example/kv"
)

func TestHelloTellsTheRevisionOnceThereIsAStore(t *testing.T) {
	f := newFront(&api.Hello{NodeId: 5, Name: "n5"}, quietClients())
	if h := f.greeting(); h.Revision != 0 || h.NodeId != 5 {
		t.Errorf("before there is a replica: %v", h)
	}
	store := kv.NewStore()
	f.serve(&Replica{Store: store})
	for want := uint64(1); want < 4; want++ {
		if h := f.greeting(); h.Revision != want || h.Name != "n5" {
			t.Errorf("at revision %d: %v", want, h)
		}
		store.DoOp(kv.Op{Kind: kv.Put, Key: "k", Unconditional: true})
	}
}
