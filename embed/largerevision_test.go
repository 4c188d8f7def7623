package embed

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"balsa.example/clerk"
)

// TestWatchGetsALargeRevision: what a revision has may be much more than may wait for a loop to take it.
func TestWatchGetsALargeRevision(t *testing.T) {
	s, err := Start(Config{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	<-s.Ready()
	ck := newClerk(t, s)
	const keys = 60
	for i := range keys {
		if _, err := ck.Set(t.Context(), fmt.Sprintf("big/%d", i), bytes.Repeat([]byte{byte(i)}, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for changes, err := range ck.Watch(t.Context(), clerk.Prefix("big/"), clerk.Progress(), clerk.WithPrev()) {
		switch {
		case err != nil:
			t.Fatalf("after %v: %v", time.Since(began), err)
		case len(changes.Events) == 0: // the first mark
			if _, err := ck.DeleteRange(t.Context(), clerk.Prefix("big/")); err != nil {
				t.Fatal(err)
			}
			began = time.Now()
			continue
		case len(changes.Events) != keys:
			t.Errorf("%d events", len(changes.Events))
		}
		t.Logf("the events came after %v", time.Since(began))
		return
	}
}
