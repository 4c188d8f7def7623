package clerk

import (
	"testing"

	"balsa.example/api"
)

// TestPartsOfARevisionArePutTogether: a revision is handed out as a whole, so that all of its parts have to be
// taken in, however late the loop gets to it. Else it would be asked for anew again and again.
func TestPartsOfARevisionArePutTogether(t *testing.T) {
	net := newNetwork(nil, nil, nil)
	defer net.Close()
	w := newWatchLink(newLink(net))
	s, err := w.watch(new(api.WatchCreate))
	if err != nil {
		t.Fatal(err)
	}
	const parts = 5
	for i := range parts {
		w.deliver([]*api.WatchUpdate{{Ids: []uint64{1}, Batches: []*api.EventBatch{{
			Revision: 7, More: i < parts-1,
			Events: []*api.Event{{Entry: &api.Entry{Key: []byte("k"), Value: make([]byte, maxUnread*2/3)}}},
		}}}})
	}
	for i := range parts {
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
	}
}
