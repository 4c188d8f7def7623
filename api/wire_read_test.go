package api

import "testing"

func BenchmarkRangeRequest(b *testing.B) {
	batch := &RequestBatch{Requests: []*Request{{
		Id: 77, Kind: Request_RANGE, TimeoutMs: 1000,
		Call: &Request_Range{Range: &Range{Span: &Span{From: []byte("bench/0000000000"), To: []byte("bench/0000000100")}}},
	}}}
	b.ReportAllocs()
	for b.Loop() {
		data, err := Codec().Marshal(batch)
		if err != nil {
			b.Fatal(err)
		}
		if err := Codec().Unmarshal(data, new(RequestBatch)); err != nil {
			b.Fatal(err)
		}
		data.Free()
	}
}
