package kv_test

import (
	"testing"

	"balsa.example/kv"
)

// told is a Publisher that is told of compactions only.
type told func(compacted uint64)

func (told) Active() bool                { return false }
func (told) Publish(uint64, []kv.Event)  {}
func (t told) Compacted(revision uint64) { t(revision) }
func (told) Reset(uint64, uint64)        {}

// TestACompactionIsToldBeforeReadersAreRefused: else a watcher that cannot read the history any more would be told that
// it can begin again where it was.
func TestACompactionIsToldBeforeReadersAreRefused(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.do(anyVersion(put("k", "v", 0)))
	}
	tells := 0
	w.PublishTo(told(func(revision uint64) {
		tells++
		if err := w.Scan(2, func(uint64, []kv.Event) bool { return true }); err != nil || revision != 4 {
			t.Errorf("when a compaction at %d is told: %v", revision, err)
		}
	}))
	if code := w.Compact(4); code != kv.CodeOK || tells != 1 {
		t.Errorf("%v, told %d times", code, tells)
	}
}
