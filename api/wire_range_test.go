package api

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// encodedRange is the encoded form of a range, made entry by entry.
func encodedRange(r *RangeReply) *Reply_EncodedRange {
	var b []byte
	for _, e := range r.GetEntries() {
		b = AppendRangeEntry(b, e)
	}
	return &Reply_EncodedRange{Range: AppendRangeEnd(b, r.GetCount(), r.GetMore())}
}

func TestRangesAreEncodedEntryByEntryAsProtoDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := draw(t, new(RangeReply), 2)
		if rapid.Bool().Draw(t, "large") {
			r.Entries = append(r.Entries, &Entry{Value: make([]byte, 2*keptBuffer)})
		}
		rest := &Reply{Id: 7, Message: "m", Revision: 9, Result: &Reply_Range{Range: r}}
		want, err := proto.Marshal(&ReplyBatch{Replies: []*Reply{rest}})
		if err != nil {
			t.Fatal(err)
		}
		rest.Result = encodedRange(r)
		got, err := Codec().Marshal(&ReplyBatch{Replies: []*Reply{rest}})
		if err != nil || !bytes.Equal(got.Materialize(), want) {
			t.Fatalf("%x (%v)\nwant %x", got.Materialize(), err, want)
		}
		if size := sizeReplies(&ReplyBatch{Replies: []*Reply{rest}}); size != len(want) {
			t.Fatalf("size %d, want %d", size, len(want))
		}
		decodesAsProto(t, want, new(ReplyBatch))
		pageIs(t, &Reply{Result: &Reply_Range{Range: r}}, r)
		pageIs(t, rest, r)
	})
}

// Where the length of an entry takes a byte more, be it by a byte of its value or of its numbers.
func TestEntriesOfAllLengthsAreEncodedAsProtoDoes(t *testing.T) {
	for _, around := range []int{1 << 7, 1 << 14} {
		for size := around - 100; size < around+100; size++ {
			for _, number := range []uint64{0, 1, 1 << 7, 1<<64 - 1} {
				e := &Entry{Key: make([]byte, 9), Value: make([]byte, size), Version: number, CreateRevision: number, ModRevision: number, Lease: int64(number)}
				want, err := proto.Marshal(&RangeReply{Entries: []*Entry{e}})
				got := AppendRangeEntry(nil, e)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, %d: %x (%v)\nwant %x", size, number, got, err, want)
				}
				p := (&Reply{Result: &Reply_EncodedRange{Range: got}}).Page()
				for read, err := range p.Entries() {
					if err != nil || !proto.Equal(read.message(), e) {
						t.Fatalf("%d bytes, %d: read %v (%v)", size, number, read, err)
					}
				}
				if p.Len != 1 {
					t.Fatalf("%d bytes, %d: %d entries", size, number, p.Len)
				}
			}
		}
	}
}

// What decodeUsual takes for an entry, decodeEntry does, too.
func FuzzDecodeUsual(f *testing.F) {
	for _, e := range []*Entry{
		{}, {Key: []byte("k")}, {Key: []byte("k"), Value: []byte("v"), Version: 1, CreateRevision: 1 << 7, ModRevision: 1 << 63, Lease: -1},
		{Key: []byte("k"), Value: make([]byte, 300), ModRevision: 300}, {Key: make([]byte, 128), Value: []byte("v")},
	} {
		f.Add(appendEntry(nil, e))
	}
	f.Add([]byte{1<<3 | 2, 1, 'k', 3 << 3, 1, 3 << 3, 2})
	f.Add([]byte{1<<3 | 2, 1, 'k', 3 << 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02})
	f.Fuzz(func(t *testing.T, data []byte) {
		var e PageEntry
		if !e.decodeUsual(data) {
			return
		}
		want, err := decodeEntry(data)
		if err != nil || !proto.Equal(e.message(), want.message()) {
			t.Fatalf("%x: %+v, want %+v (%v)", data, e, want, err)
		}
	})
}

// pageIs compares what Page says of a reply with a range.
func pageIs(t *rapid.T, reply *Reply, r *RangeReply) {
	p, n := reply.Page(), 0
	for e, err := range p.Entries() {
		if cap(e.Key) != len(e.Key) || cap(e.Value) != len(e.Value) {
			t.Fatalf("to append to entry %d would write to the next", n)
		}
		if err != nil || !proto.Equal(e.message(), r.Entries[n]) {
			t.Fatalf("entry %d is %v (%v), want %v", n, e, err, r.Entries[n])
		}
		n++
	}
	if p.Count != r.Count || p.More != r.More || p.Len != len(r.Entries) {
		t.Fatalf("%+v, want %v", p, r)
	}
	last, err := p.LastKey()
	if n != len(r.Entries) || err != nil || n > 0 && !bytes.Equal(last, r.Entries[n-1].Key) {
		t.Fatalf("%d entries, the last is %q (%v), want %v", n, last, err, r)
	}
}

// message is an entry as a message.
func (e PageEntry) message() *Entry {
	return &Entry{
		Key: e.Key, Value: e.Value, Version: e.Version, CreateRevision: e.CreateRevision, ModRevision: e.ModRevision, Lease: e.Lease,
	}
}

// What another program has encoded may have longer forms, and fields that are unknown here.
func TestPageHasEntriesOfAnyForm(t *testing.T) {
	b := AppendRangeEntry(nil, &Entry{Key: []byte("a")})
	b = append(b, 0x8a, 0x00, 3, 1<<3|2, 1, 'b') // the tag of an entry, in two bytes
	b = append(b, 15<<3, 1)
	b = append(b, 1<<3|2, 0x83, 0x00, 1<<3|2, 1, 'c') // its length, in two bytes
	p, keys := (&Reply{Result: &Reply_EncodedRange{Range: b}}).Page(), ""
	for e, failed := range p.Entries() {
		if failed != nil {
			t.Fatal(failed)
		}
		keys += string(e.Key)
	}
	if last, err := p.LastKey(); err != nil || p.Len != 3 || keys != "abc" || string(last) != "c" {
		t.Errorf("%d entries %q, the last is %q (%v)", p.Len, keys, last, err)
	}
}

// The memory of a large range is used again when it was sent; that of a small one at once.
func TestRangesLendTheirMemory(t *testing.T) {
	for _, size := range []int{10, sharedPart} {
		encoded := AppendRangeEntry(RangeBuffer(), &Entry{Value: bytes.Repeat([]byte{'v'}, size)})
		r := LendRange(encoded)
		if small := size < sharedPart; small == (&r.Range[0] == &encoded[0]) || cap(r.Range) > 2*len(r.Range) {
			t.Errorf("%d bytes: %d of %d, shared %t", size, len(r.Range), cap(r.Range), !small)
		}
		data, err := Codec().Marshal(&ReplyBatch{Replies: []*Reply{{Result: r}}})
		if err != nil || !bytes.Contains(data.Materialize(), r.Range) {
			t.Errorf("%d bytes were not encoded (%v)", size, err)
		}
		data.Free()
	}
}

func TestPageOfAReplyWithoutOneIsEmpty(t *testing.T) {
	p := (&Reply{}).Page()
	skipped := p.Skip()
	if last, err := p.LastKey(); skipped != nil || p.Len != 0 || p.More || last != nil || err != nil {
		t.Errorf("%+v, %v, last key %q, %v", p, skipped, last, err)
	}
}

func TestRangeThatIsNotWellFormedIsAnError(t *testing.T) {
	good := AppendRangeEntry(nil, &Entry{Key: []byte("a")})
	bad := protowire.AppendBytes([]byte{1<<3 | 2}, []byte{1<<3 | 2, 9})
	for name, b := range map[string][]byte{"cut": good[:len(good)-1], "an entry": append(good, bad...)} {
		p := (&Reply{Result: &Reply_EncodedRange{Range: b}}).Page()
		var err error
		for _, next := range p.Entries() {
			err = next
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := (&Reply{Result: &Reply_EncodedRange{Range: b}}).Whole(); err == nil {
			t.Errorf("%s: no error of the whole", name)
		}
	}
}

// What is much of a batch is not copied a second time. Who keeps an entry of a small range, or a small value,
// keeps no more than that.
func TestOnlyLargeRangesAndValuesShareTheMemoryOfTheirBatch(t *testing.T) {
	ranged := func(size int) *Reply {
		return &Reply{Id: 5, Result: encodedRange(&RangeReply{Entries: []*Entry{{Value: make([]byte, size)}}})}
	}
	for _, test := range []struct {
		name   string
		first  *Reply
		others []*Reply
		allocs float64
	}{
		{"a small range", ranged(900), nil, 4},
		{"a large range", ranged(sharedPart), nil, 6},
		{"a page", ranged(1 << 20), nil, 6},
		{"a large range, not alone", ranged(sharedPart), []*Reply{{Id: 6}}, 4},
		{"a large value", &Reply{Value: make([]byte, sharedPart)}, nil, 5},
		{"a small value, not alone", &Reply{Value: make([]byte, 900)}, []*Reply{ranged(1 << 20)}, 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent, err := Codec().Marshal(&ReplyBatch{Replies: append([]*Reply{test.first}, test.others...)})
			if err != nil {
				t.Fatal(err)
			}
			frames := received(sent.Materialize())
			var b ReplyBatch
			allocs := testing.AllocsPerRun(100, func() {
				if err := Codec().Unmarshal(frames, &b); err != nil {
					t.Fatal(err)
				}
			})
			frames.Free() // whose memory is written to from now on
			got, want := b.Replies[0].Value, test.first.Value
			if r, ok := test.first.Result.(*Reply_EncodedRange); ok {
				got, want = b.Replies[0].Result.(*Reply_EncodedRange).Range, r.Range
			}
			if !bytes.Equal(got, want) || cap(got) > 2*len(got) || allocs > test.allocs {
				t.Errorf("%d of %d bytes, equal %t, %v allocations", len(got), cap(got), bytes.Equal(got, want), allocs)
			}
		})
	}
}

// received is a message in frames, as gRPC hands it over: some of the memory is used again.
func received(message []byte) (all mem.BufferSlice) {
	for n := 2000; len(message) > 0; n = 16 << 10 {
		n = min(n, len(message))
		frame := bytes.Clone(message[:n])
		all, message = append(all, mem.NewBuffer(&frame, overwriting{})), message[n:]
	}
	return all
}

// overwriting is a mem.BufferPool that writes to what comes back.
type overwriting struct{ mem.NopBufferPool }

// Put implements mem.BufferPool.
func (overwriting) Put(b *[]byte) {
	for i := range *b {
		(*b)[i] = 0xee
	}
}

// Of what stands before a large range the memory is allocated at once: it has the head, the list of the two
// buffers, and the buffer of the range.
func TestLargeRangesAreSentWithFewAllocations(t *testing.T) {
	batch := &ReplyBatch{Replies: []*Reply{{Id: 1 << 20, Revision: 1 << 30, Result: encodedRange(&RangeReply{Entries: []*Entry{{Value: make([]byte, sharedPart)}}})}}}
	allocs := testing.AllocsPerRun(100, func() {
		data, err := Codec().Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		data.Free()
	})
	if allocs > 4 {
		t.Errorf("%v allocations", allocs)
	}
}

// A batch may be cut anywhere: what tells of its form is in several frames then.
func TestBatchIsTheSameInWhateverFramesItCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := draw(t, new(ReplyBatch), 2)
		if rapid.Bool().Draw(t, "large") {
			b.Replies = append(b.Replies, &Reply{Value: make([]byte, rapid.IntRange(1, 3*keptBuffer).Draw(t, "size"))})
		}
		data, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var all mem.BufferSlice
		sizes := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 4).Draw(t, "sizes")
		for rest, i := data, 0; len(rest) > 0; i++ {
			n := min(len(rest), sizes[i%len(sizes)])
			all, rest = append(all, mem.SliceBuffer(rest[:n])), rest[n:]
		}
		want, got := new(ReplyBatch), new(ReplyBatch)
		if err := errors.Join(proto.Unmarshal(data, want), Codec().Unmarshal(all, got), readRanges(got)); err != nil || !proto.Equal(got, want) {
			t.Fatalf("%v (%v)\nwant %v", got, err, want)
		}
	})
}

// Who stops in the midst goes on where the loop has ended.
func TestPageKnowsWhatWasTaken(t *testing.T) {
	p := (&Reply{Result: encodedRange(&RangeReply{
		Entries: []*Entry{{Key: []byte("a")}, {Key: []byte("b")}, {Key: []byte("c")}}, Count: 9, More: true,
	})}).Page()
	for _, want := range []string{"a", "b"} {
		for e, err := range p.Entries() {
			if err != nil || string(e.Key) != want {
				t.Fatalf("%q (%v), want %s", e.Key, err, want)
			}
			break
		}
		if last, err := p.LastKey(); err != nil || string(last) != want || p.More {
			t.Fatalf("the last is %q (%v), more %t", last, err, p.More)
		}
	}
	if err := p.Skip(); err != nil || p.Len != 3 || p.Count != 9 || !p.More {
		t.Errorf("%+v (%v)", p, err)
	}
}

// A server that means harm sends a range in many parts.
func TestRangeInManyPartsIsReadInTime(t *testing.T) {
	reply := bytes.Repeat([]byte{14<<3 | 2, 2, 1<<3 | 2, 0}, 1<<18)
	data := protowire.AppendBytes([]byte{2<<3 | 2}, reply)
	var b ReplyBatch
	if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &b); err != nil {
		t.Fatal(err)
	}
	p := b.Replies[0].Page()
	if err := p.Skip(); err != nil || p.Len != 1<<18 {
		t.Error(p.Len, err)
	}
}
