package api

import (
	"bytes"
	"fmt"
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

// pageIs compares what Page says of a reply with a range.
func pageIs(t *rapid.T, reply *Reply, r *RangeReply) {
	p, err := reply.Page()
	if err != nil || p.Count != r.Count || p.More != r.More || p.Len != len(r.Entries) {
		t.Fatalf("%+v (%v), want %v", p, err, r)
	}
	n := 0
	for e, err := range p.Entries() {
		if err != nil || !proto.Equal(e, r.Entries[n]) {
			t.Fatalf("entry %d is %v (%v), want %v", n, e, err, r.Entries[n])
		}
		n++
	}
	last, err := p.LastKey()
	if n != len(r.Entries) || err != nil || n > 0 && !bytes.Equal(last, r.Entries[n-1].Key) {
		t.Fatalf("%d entries, the last is %q (%v), want %v", n, last, err, r)
	}
}

// What another program has encoded may have longer forms, and fields that are unknown here.
func TestPageHasEntriesOfAnyForm(t *testing.T) {
	b := AppendRangeEntry(nil, &Entry{Key: []byte("a")})
	b = append(b, 0x8a, 0x00, 3, 1<<3|2, 1, 'b') // the tag of an entry, in two bytes
	b = append(b, 15<<3, 1)
	b = append(b, 1<<3|2, 0x83, 0x00, 1<<3|2, 1, 'c') // its length, in two bytes
	p, err := (&Reply{Result: &Reply_EncodedRange{Range: b}}).Page()
	keys := ""
	for e, failed := range p.Entries() {
		if failed != nil {
			t.Fatal(failed)
		}
		keys += string(e.Key)
	}
	if last, _ := p.LastKey(); err != nil || p.Len != 3 || keys != "abc" || string(last) != "c" {
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
	p, err := (&Reply{}).Page()
	if last, lastErr := p.LastKey(); err != nil || p.Len != 0 || p.More || last != nil || lastErr != nil {
		t.Errorf("%+v, %v, last key %q, %v", p, err, last, lastErr)
	}
}

func TestRangeThatIsNotWellFormedIsAnError(t *testing.T) {
	good := AppendRangeEntry(nil, &Entry{Key: []byte("a")})
	bad := protowire.AppendBytes([]byte{1<<3 | 2}, []byte{1<<3 | 2, 9})
	for name, b := range map[string][]byte{"cut": good[:len(good)-1], "an entry": append(good, bad...)} {
		p, err := (&Reply{Result: &Reply_EncodedRange{Range: b}}).Page()
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

// A large batch is not copied. Who keeps an entry of a small one keeps no more than its range.
func TestRangesShareTheMemoryOfLargeBatchesOnly(t *testing.T) {
	for _, size := range []int{100, 2 * keptBuffer} {
		data, err := Codec().Marshal(&ReplyBatch{Replies: []*Reply{{
			Result: encodedRange(&RangeReply{Entries: []*Entry{{Value: make([]byte, size)}}}),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		var b ReplyBatch
		allocs := testing.AllocsPerRun(1, func() {
			if err := Codec().Unmarshal(data, &b); err != nil {
				t.Fatal(err)
			}
		})
		r := b.Replies[0].Result.(*Reply_EncodedRange).Range
		if len(r) < size || cap(r) > 2*len(r) || allocs > 8 {
			t.Errorf("%d bytes: %d of %d bytes, %v allocations", size, len(r), cap(r), allocs)
		}
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
	if p, err := b.Replies[0].Page(); err != nil || p.Len != 1<<18 {
		t.Error(fmt.Sprint(p.Len), err)
	}
}
