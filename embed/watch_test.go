package embed

import (
	"fmt"
	"iter"
	"path/filepath"
	"testing"

	"balsa.example/clerk"
)

// A watch gets what happens, and what happened: also before the server was started.
func TestAWatchGetsPastAndPresent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for i := range 3 {
		s, err := Start(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		<-s.Ready()
		ck := newClerk(t, s)
		past, stopPast := iter.Pull2(ck.Watch(t.Context(), clerk.Prefix("key"), clerk.Since(1)))
		now, stopNow := iter.Pull2(ck.Watch(t.Context(), clerk.Prefix("key"), clerk.Progress()))
		if c, err, _ := now(); err != nil || len(c.Events) != 0 || c.Revision != uint64(2*i)+1 {
			t.Fatalf("begins with %+v, %v", c, err)
		}
		put(t, ck, fmt.Sprint("key", i), "v")
		put(t, ck, fmt.Sprint("other", i), "v")
		for j := range i + 1 {
			c, err, _ := past()
			if err != nil || c.Revision != uint64(2*j)+2 || len(c.Events) != 1 || c.Events[0].Key != fmt.Sprint("key", j) || string(c.Events[0].Value) != "v" {
				t.Fatalf("start %d: %+v, %v", i, c, err)
			}
		}
		if c, err, _ := now(); err != nil || len(c.Events) != 1 || c.Events[0].Key != fmt.Sprint("key", i) {
			t.Fatalf("%+v, %v", c, err)
		}
		stopPast()
		stopNow()
		ck.Close()
		s.Stop(t.Context())
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
	}
}
