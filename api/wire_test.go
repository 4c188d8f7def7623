package api

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// The codec is package proto's: the same bytes, and the same messages from any bytes.

func number(t *rapid.T) uint64 {
	return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 300), rapid.Uint64()).Draw(t, "number")
}

func octets(t *rapid.T) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
}

// draw fills a message, with whatever fields it has, and those in it down to a depth.
func draw[M proto.Message](t *rapid.T, m M, depth int) M {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if depth == 0 && f.Message() != nil || rapid.IntRange(0, 2).Draw(t, "set") == 0 {
			continue
		}
		if !f.IsList() {
			m.ProtoReflect().Set(f, drawField(t, f, m.ProtoReflect().NewField(f), depth)) // of a oneof the last one stays
			continue
		}
		for list := m.ProtoReflect().Mutable(f).List(); rapid.Bool().Draw(t, "one more"); {
			list.Append(drawField(t, f, list.NewElement(), depth))
		}
	}
	return m
}

func drawField(t *rapid.T, f protoreflect.FieldDescriptor, fresh protoreflect.Value, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		draw(t, fresh.Message().Interface(), depth-1)
		return fresh
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(octets(t))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(t, "string"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(number(t)))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(number(t)))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(number(t)))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(number(t))
	}
	t.Fatalf("%s is a %s, which is not drawn yet", f.FullName(), f.Kind())
	panic("unreachable")
}

func TestCodecEncodesAsProto(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, m := range []proto.Message{draw(t, &RequestBatch{}, 5), draw(t, &ReplyBatch{}, 5)} {
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
	gotErr := errors.Join(Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(bytes.Clone(data))}, got), readRanges(got))
	switch {
	case (wantErr == nil) != (gotErr == nil):
		t.Fatalf("%x: error %v, want %v", data, gotErr, wantErr)
	case wantErr == nil && !proto.Equal(got, want):
		t.Fatalf("%x\nis %v\nwant %v", data, got, want)
	}
}

// readRanges puts messages in the place of encoded ranges.
func readRanges(m proto.Message) error {
	var errs []error
	if b, ok := m.(*ReplyBatch); ok {
		for i, r := range b.Replies {
			whole, err := r.Whole()
			b.Replies[i], errs = whole, append(errs, err)
		}
	}
	return errors.Join(errs...)
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
	if err := decodeReplies(data, &b, false); err != nil {
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
		"operations of nothing":            {nested(1, nested(15, fill(2<<3|2, 0))), new(RequestBatch)},
		"as many operations as may be":     {nested(1, nested(15, bytes.Repeat([]byte{2<<3 | 2, 0}, maxBatchParts-1))), new(RequestBatch)},
		"a call of operations of nothing":  {nested(15, fill(2<<3|2, 0)), new(Request)},
		"as many operations in a call":     {nested(15, bytes.Repeat([]byte{2<<3 | 2, 0}, maxBatchParts-1)), new(Request)},
		"requests of transactions":         {fill(nested(1, nested(15, bytes.Repeat([]byte{1<<3 | 2, 0}, 100)))...), new(RequestBatch)},
		"entries of nothing":               {nested(2, nested(14, fill(1<<3|2, 0))), new(ReplyBatch)},
		"as many entries as may be":        {nested(2, nested(14, bytes.Repeat([]byte{1<<3 | 2, 0}, maxBatchParts-1))), new(ReplyBatch)},
		"keys of nothing":                  {nested(2, nested(17, fill(5<<3|2, 0))), new(ReplyBatch)},
		"other leases of one byte":         {nested(1, append([]byte{18<<3&0x7f | 0x82, 1}, nested(5, fill(1))...)), new(RequestBatch)},
		"leases of one byte":               {nested(2, nested(18, nested(1, fill(1)))), new(ReplyBatch)},
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

// nestedTxns is the wire form of a request of so many transactions, each in the one before.
func nestedTxns(levels int) []byte {
	var txn []byte
	for range levels - 1 {
		op := protowire.AppendBytes([]byte{4<<3 | 2}, txn)
		txn = protowire.AppendBytes([]byte{2<<3 | 2}, op)
	}
	return protowire.AppendBytes([]byte{1<<3 | 2}, protowire.AppendBytes([]byte{15<<3 | 2}, txn))
}

func TestNestingIsBounded(t *testing.T) {
	for levels, ok := range map[int]bool{maxDepth / 2: true, maxDepth/2 + 1: false, 1_000: false} {
		var b RequestBatch
		err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(nestedTxns(levels))}, &b)
		if (err == nil) != ok {
			t.Errorf("%d transactions in each other: error %v", levels, err)
		}
	}
}

// BenchmarkCodec encodes and decodes a batch of 64 puts of 256 bytes.
// Requests share the memory of their message only if nobody uses that again.
func TestRequestsKeepMemoryOfTheirOwn(t *testing.T) {
	data, err := Codec().Marshal(&RequestBatch{Requests: []*Request{{Key: []byte("key"), Value: bytes.Repeat([]byte("v"), 2<<10)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, reused := range []bool{false, true} {
		memory := data.Materialize()
		buffer := mem.Buffer(mem.SliceBuffer(memory))
		if reused {
			buffer = mem.NewBuffer(&memory, mem.NopBufferPool{})
		}
		got := new(RequestBatch)
		if err := Codec().Unmarshal(mem.BufferSlice{buffer}, got); err != nil {
			t.Fatal(err)
		}
		clear(memory)
		if changed := string(got.Requests[0].Key) != "key"; changed == reused {
			t.Errorf("memory that is used again: %v; the request has changed: %v", reused, changed)
		}
	}
}

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

// BenchmarkRangeReply encodes and decodes a range of 100 keys with 256 bytes each.
func BenchmarkRangeReply(b *testing.B) {
	r := new(RangeReply)
	for range 100 {
		r.Entries = append(r.Entries, &Entry{Key: make([]byte, 20), Value: make([]byte, 256), Version: 3, CreateRevision: 1 << 20, ModRevision: 1 << 21})
	}
	batch := &ReplyBatch{Replies: []*Reply{{Id: 1, Revision: 1 << 22, Result: &Reply_Range{Range: r}}}}
	for name, codec := range map[string]encoding.CodecV2{"api": Codec(), "proto": encoding.GetCodecV2("proto")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data, err := codec.Marshal(batch)
				if err != nil {
					b.Fatal(err)
				}
				if err := codec.Unmarshal(data, new(ReplyBatch)); err != nil {
					b.Fatal(err)
				}
				data.Free()
			}
		})
	}
}

// BenchmarkAppendRangeEntry encodes 100 keys with 256 bytes each.
func BenchmarkAppendRangeEntry(b *testing.B) {
	e := &Entry{Key: make([]byte, 20), Value: make([]byte, 256), Version: 3, CreateRevision: 1 << 20, ModRevision: 1 << 21}
	var encoded []byte
	for b.Loop() {
		encoded = encoded[:0]
		for range 100 {
			encoded = AppendRangeEntry(encoded, e)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	r := new(RangeReply)
	for i := range 100 {
		r.Entries = append(r.Entries, &Entry{Key: make([]byte, 20), Value: make([]byte, 256), Version: 3, CreateRevision: 1<<20 + uint64(i), ModRevision: 1 << 21})
	}
	reply := &Reply{Result: encodedRange(r)}
	for b.Loop() {
		p, n := reply.Page(), 0
		for e := range p.Entries() {
			n += len(e.Key)
		}
		if n != 2000 {
			b.Fatal(n)
		}
	}
}
