package api

import (
	"bytes"
	"runtime"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// The codec is package proto's: the same bytes, and the same messages from any bytes.

func number(t *rapid.T) uint64 {
	return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 300), rapid.Uint64()).Draw(t, "number")
}

func octets(t *rapid.T) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
}

func drawRequest(t *rapid.T) *Request {
	return &Request{
		Id: number(t), Kind: Request_Kind(number(t)), Key: octets(t), Value: octets(t),
		Unconditional: rapid.Bool().Draw(t, "unconditional"), Version: number(t),
		Consistency: Request_Consistency(number(t)), TimeoutMs: uint32(number(t)), UnchangedSince: number(t),
		Attempt: Request_Attempt(number(t)),
	}
}

func drawReply(t *rapid.T) *Reply {
	r := &Reply{
		Id: number(t), Code: Reply_Code(number(t)), Message: rapid.String().Draw(t, "message"), Value: octets(t),
		Version: number(t), CreateRevision: number(t), ModRevision: number(t), Revision: number(t), DeleteRevision: number(t),
	}
	if rapid.Bool().Draw(t, "leader") {
		r.Leader = &Leader{NodeId: number(t), ClientUrls: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "urls")}
	}
	return r
}

func drawReplies(t *rapid.T) *ReplyBatch {
	b := &ReplyBatch{Replies: rapid.SliceOfN(rapid.Custom(drawReply), 0, 5).Draw(t, "replies")}
	if rapid.Bool().Draw(t, "hello") {
		b.Hello = &Hello{ClusterId: number(t), NodeId: number(t), Name: rapid.String().Draw(t, "name"), Revision: number(t)}
	}
	return b
}

func TestCodecEncodesAsProto(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests := &RequestBatch{Requests: rapid.SliceOfN(rapid.Custom(drawRequest), 0, 5).Draw(t, "requests")}
		for _, m := range []proto.Message{requests, drawReplies(t)} {
			want, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Codec().Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Materialize(), want) {
				t.Fatalf("%v\nis %x\nwant %x", m, got.Materialize(), want)
			}
			decodesAsProto(t, want, m)
		}
	})
}

// decodesAsProto compares what the codec and package proto make of data, be it an error.
func decodesAsProto(t interface{ Fatalf(string, ...any) }, data []byte, kind proto.Message) {
	want, got := kind.ProtoReflect().New().Interface(), kind.ProtoReflect().New().Interface()
	wantErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, want)
	gotErr := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(bytes.Clone(data))}, got)
	switch {
	case (wantErr == nil) != (gotErr == nil):
		t.Fatalf("%x: error %v, want %v", data, gotErr, wantErr)
	case wantErr == nil && !proto.Equal(got, want):
		t.Fatalf("%x\nis %v\nwant %v", data, got, want)
	}
}

// Number 5 said once that a write is conditional. It must not come to mean the opposite: the
// write of an old client would overwrite what it was to protect.
func TestFieldOfTheOppositeMeaningIsIgnored(t *testing.T) {
	request := protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 1)
	data := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), request)
	got := new(RequestBatch)
	if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, got); err != nil {
		t.Fatal(err)
	}
	if len(got.Requests) != 1 || got.Requests[0].Unconditional {
		t.Errorf("%x is %v", data, got)
	}
	decodesAsProto(t, data, got)
}

func TestCodecLeavesOtherMessagesAlone(t *testing.T) {
	m := &StatusRequest{}
	data, err := Codec().Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := Codec().Unmarshal(data, new(StatusRequest)); err != nil {
		t.Fatal(err)
	}
	if _, err := Codec().Marshal("no message"); err == nil {
		t.Fatal("a string was encoded")
	}
}

func TestCodecRefusesTextThatIsNotUTF8(t *testing.T) {
	b := &ReplyBatch{Replies: []*Reply{{Message: "\xff"}}}
	if _, err := Codec().Marshal(b); err == nil {
		t.Fatal("encoded")
	}
}

// TestRepliesDoNotShareMemory because a caller may keep the value of one for ever.
func TestRepliesDoNotShareMemory(t *testing.T) {
	data, err := proto.Marshal(&ReplyBatch{Replies: []*Reply{{Id: 1, Value: []byte("value")}}})
	if err != nil {
		t.Fatal(err)
	}
	var b ReplyBatch
	if err := decodeReplies(data, &b); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if string(b.Replies[0].Value) != "value" {
		t.Fatalf("the value became %q", b.Replies[0].Value)
	}
}

func FuzzDecodeRequests(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x06, 0x08, 0x01, 0x10, 0x02, 0x1a, 0x00})
	f.Add([]byte{0x0a, 0x02, 0x2b, 0x2c, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) { decodesAsProto(t, data, &RequestBatch{}) })
}

func FuzzDecodeReplies(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x02, 0x08, 0x07, 0x12, 0x04, 0x08, 0x01, 0x4a, 0x00})
	f.Add([]byte{0x12, 0x03, 0x1a, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) { decodesAsProto(t, data, &ReplyBatch{}) })
}

// Batches wait in gRPC for peers that do not read, and only their bytes are counted there.
func TestSmallBatchesHoldLittleMemory(t *testing.T) {
	for size := 16; size < 64<<10; size *= 2 {
		for _, b := range []proto.Message{
			&RequestBatch{Requests: []*Request{{Value: make([]byte, size)}}},
			&ReplyBatch{Replies: []*Reply{{Value: make([]byte, size)}}},
		} {
			data, err := Codec().Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if held := cap(data[0].ReadOnlyData()); held > 8*data.Len() {
				t.Errorf("%T of %d bytes holds %d", b, data.Len(), held)
			}
			data.Free()
		}
	}
}

func TestBatchOfTooManyRequestsIsRefused(t *testing.T) {
	empty := []byte{1<<3 | 2, 0}
	for n, ok := range map[int]bool{maxBatchRequests: true, maxBatchRequests + 1: false} {
		data := mem.BufferSlice{mem.SliceBuffer(bytes.Repeat(empty, n))}
		var b RequestBatch
		if err := Codec().Unmarshal(data, &b); (err == nil) != ok {
			t.Errorf("%d requests: error %v", n, err)
		}
	}
}

func TestBatchOfTooManyRepliesIsRefused(t *testing.T) {
	empty := []byte{2<<3 | 2, 0}
	for n, ok := range map[int]bool{maxBatchReplies: true, maxBatchReplies + 1: false} {
		data := mem.BufferSlice{mem.SliceBuffer(bytes.Repeat(empty, n))}
		var b ReplyBatch
		if err := Codec().Unmarshal(data, &b); (err == nil) != ok {
			t.Errorf("%d replies: error %v", n, err)
		}
	}
}

// A peer that means harm sends what takes little on the wire and much in memory.
func TestDecodersAllocateLittle(t *testing.T) {
	const size = 4 << 20
	fill := func(piece ...byte) []byte { return bytes.Repeat(piece, size/len(piece)) }
	nested := func(tag byte, data []byte) []byte {
		return append(protowire.AppendVarint([]byte{tag<<3 | 2}, uint64(len(data))), data...)
	}
	leader := nested(9, bytes.Repeat([]byte{3<<3 | 2, 0}, 1000))
	for name, tc := range map[string]struct {
		data []byte
		to   proto.Message
	}{
		"requests of nothing":              {fill(1<<3|2, 0), new(RequestBatch)},
		"as many requests as may be":       {bytes.Repeat([]byte{1<<3 | 2, 0}, maxBatchRequests), new(RequestBatch)},
		"a request of many keys":           {nested(1, fill(3<<3|2, 0)), new(RequestBatch)},
		"replies of nothing":               {fill(2<<3|2, 0), new(ReplyBatch)},
		"as many replies as may be":        {bytes.Repeat([]byte{2<<3 | 2, 0}, maxBatchReplies), new(ReplyBatch)},
		"a reply of many values":           {nested(2, fill(4<<3|2, 1, 'v')), new(ReplyBatch)},
		"replies of leaders of nothing":    {fill(2<<3|2, 2, 9<<3|2, 0), new(ReplyBatch)},
		"a leader of addresses of nothing": {nested(2, nested(9, fill(3<<3|2, 0))), new(ReplyBatch)},
		"leaders of a thousand addresses":  {fill(nested(2, leader)...), new(ReplyBatch)},
		"many hellos":                      {fill(nested(1, []byte{3<<3 | 2, 1, 'n'})...), new(ReplyBatch)},
		"fields that nobody knows":         {fill(7<<3|2, 0), new(ReplyBatch)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(tc.data)}, tc.to)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 12*size {
			t.Errorf("%s: %d bytes are allocated for %d (error %v)", name, n, len(tc.data), err)
		}
	}
}

// BenchmarkCodec encodes and decodes a batch of 64 puts of 256 bytes.
func BenchmarkCodec(b *testing.B) {
	batch := &RequestBatch{}
	for i := range 64 {
		batch.Requests = append(batch.Requests, &Request{
			Id: uint64(1000 + i), Kind: Request_PUT, Key: make([]byte, 16), Value: make([]byte, 256), TimeoutMs: 1000,
		})
	}
	for name, codec := range map[string]encoding.CodecV2{"api": Codec(), "proto": encoding.GetCodecV2("proto")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data, err := codec.Marshal(batch)
				if err != nil {
					b.Fatal(err)
				}
				if err := codec.Unmarshal(data, new(RequestBatch)); err != nil {
					b.Fatal(err)
				}
				data.Free()
			}
		})
	}
}
