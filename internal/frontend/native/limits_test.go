package native

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/kv"
)

// What is refused is named by what the flag bounds: that of etcd bounds keys too.
func TestLimitsThatAreRefusedAreNamed(t *testing.T) {
	err := CheckLimits(kv.Limits{MaxKeyBytes: maxRequestBytes + 1, MaxValueBytes: maxRequestBytes + 1})
	if err == nil || !strings.HasPrefix(err.Error(), "a request may have 1 to") {
		t.Error(err)
	}
}

// Whatever limits are allowed, the largest request that they allow can arrive.
func TestTheLargestRequestsArrive(t *testing.T) {
	limits := kv.Limits{MaxValueBytes: maxRequestBytes, MaxTxnOps: maxTxnOps}
	if err := CheckLimits(limits); err != nil {
		t.Fatal(err)
	}
	ops := func(n int) []*api.TxnOp { return slices.Repeat([]*api.TxnOp{rangeIn(&api.Range{Span: oneKey})}, n) }
	wide := new(api.Txn) // as many operations as there may be in all
	for range 31 {
		wide.Then = append(wide.Then, &api.TxnOp{Op: &api.TxnOp_Txn{Txn: &api.Txn{Then: ops(1 << 10)}}})
	}
	full := &api.Txn{Then: ops(maxTxnOps), Else: ops(maxTxnOps)} // as many as there may be in each list
	for i := range maxTxnOps {
		full.Compares = append(full.Compares, &api.Compare{Span: oneKey, Number: uint64(i)})
	}
	puts := new(api.Txn)
	for i := range maxTxnOps {
		puts.Then = append(puts.Then, &api.TxnOp{Op: &api.TxnOp_Put{Put: &api.Put{Key: fmt.Append(nil, i)}}})
	}
	for name, req := range map[string]*api.Request{
		"a put":         {Kind: api.Request_PUT, Unconditional: true, Key: bytes.Repeat([]byte("k"), 64<<10), Value: make([]byte, maxRequestBytes)},
		"a transaction": txnOf(wide),
		"full lists":    txnOf(full),
		"puts":          txnOf(puts),
	} {
		data, err := api.Codec().Marshal(&api.RequestBatch{Requests: []*api.Request{req}})
		if err != nil {
			t.Fatal(err)
		}
		var batch api.RequestBatch
		if err := api.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data.Materialize())}, &batch); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if data.Len() > clients.MaxMessageBytes || costOf(req)+expectedOf(req) > clients.MaxClientBytes {
			t.Errorf("%s has %d bytes, and counts for %d", name, data.Len(), costOf(req)+expectedOf(req))
		}
		h, _ := nodetest.New()
		h.Limits = limits
		h.Handle(batch.Requests[0], func(r *api.Reply) {
			if r.Code != api.Reply_OK {
				t.Errorf("%s gets %s %s", name, r.Code, r.Message)
			}
		})
	}
}
