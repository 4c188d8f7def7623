package api

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// A WatchMessage has the bytes of the WatchReply that it stands for.
func TestWatchMessageIsAWatchReply(t *testing.T) {
	var m WatchMessage
	rapid.Check(t, func(t *rapid.T) {
		m.Reset()
		want := &WatchReply{}
		for range rapid.IntRange(0, 5).Draw(t, "updates") {
			u := draw(t, &WatchUpdate{}, 3)
			head := proto.Clone(u).(*WatchUpdate)
			head.Batches = nil
			var events [][]byte
			for _, b := range u.Batches {
				if len(b.Events) > 0 && rapid.Bool().Draw(t, "large") {
					b.Events[0].Entry = &Entry{Value: make([]byte, 2*sharedPart)}
				}
				events = append(events, EncodeEvents(b))
			}
			if err := m.Add(head, events); err != nil {
				t.Fatal(err)
			}
			want.Updates = append(want.Updates, u)
		}
		data, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Codec().Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Materialize(), data) {
			t.Fatalf("%v\nis %x\nwant %x", want, got.Materialize(), data)
		}
		if m.Size() != len(data) {
			t.Fatalf("the size is %d, want %d", m.Size(), len(data))
		}
		decodesAsProto(t, data, want)
	})
}

// What takes a byte on the wire takes a hundred in memory.
func TestWatchMessagesOfTooManyPartsAreRefused(t *testing.T) {
	for name, m := range map[string]proto.Message{
		"watchers": &WatchRequest{Create: make([]*WatchCreate, maxBatchParts+1)},
		"ids":      &WatchRequest{Cancel: make([]uint64, maxBatchParts+1)},
		"updates":  &WatchReply{Updates: make([]*WatchUpdate, maxBatchParts+1)},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m.ProtoReflect().New().Interface()) == nil {
			t.Errorf("%s: %d are accepted in %d bytes", name, maxBatchParts+1, len(data))
		}
	}
}
