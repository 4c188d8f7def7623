package native

import (
	"testing"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/replica"
	"balsa.example/kv"
)

func TestHelloTellsTheRevisionOnceThereIsAStore(t *testing.T) {
	f := New(Config{Port: quietPort(t), Hello: &api.Hello{NodeId: 5, Name: "n5"}})
	if h := f.greeting(); h.Revision != 0 || h.NodeId != 5 {
		t.Errorf("before there is a replica: %v", h)
	}
	h, node := nodetest.New()
	f.Start(&replica.Replica{Handler: h})
	for want := uint64(1); want < 4; want++ {
		if h := f.greeting(); h.Revision != want || h.Name != "n5" {
			t.Errorf("at revision %d: %v", want, h)
		}
		node.Do(kv.Op{Kind: kv.Put, Key: "k", Unconditional: true})
	}
}
