package kv_test

import (
	"fmt"
	"testing"

	"balsa.example/kv"
)

// TestReadersPinWhatTheyRead compacts, while a reader is in the midst of the history. What the
// reader may still come to stays in the index, so that no rewrite of files leaves it out. So does
// what the replay of the log from the last durable checkpoint will need.
func TestReadersPinWhatTheyRead(t *testing.T) {
	s := newWorld(t)
	for i := range 200 {
		s.do(anyVersion(put("k", fmt.Sprint(i), 0)))
	}
	left := func() int64 {
		for s.Purge(10) {
		}
		return s.Figures().HistoryBytes
	}
	all := left()
	s.Compact(100)
	if got := left(); got != all {
		t.Errorf("before a checkpoint %d bytes are left, want %d", got, all)
	}
	s.Durable(100)
	begin := left()
	if begin > all*2/3 {
		t.Errorf("after a checkpoint %d bytes of %d are left", begin, all)
	}
	seen := 0
	err := s.Scan(100, func(revision uint64, _ []kv.Event) bool {
		if seen++; revision == 150 {
			s.Compact(s.Revision())
			s.Durable(s.Revision())
			if got := left(); got != begin {
				t.Errorf("while somebody reads %d bytes are left, want %d", got, begin)
			}
		}
		return true
	})
	if err != nil || seen != 102 {
		t.Errorf("%d of 102 revisions: %v", seen, err)
	}
	if got := left(); got > begin/2 {
		t.Errorf("when nobody reads %d bytes of %d are left", got, begin)
	}
	if f := s.Figures(); f.Forgotten == 0 || f.Forgotten != 200-1-uint64(f.Versions) {
		t.Errorf("%d versions of 200 were forgotten, %d old ones are left", f.Forgotten, f.Versions)
	}
}
