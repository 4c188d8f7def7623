package kv_test

import (
	"testing"
	"unsafe"
)

// TestWhatWasBeforeKeepsNothingElse: whoever keeps it, as a watcher's batches do for long, must not keep the block of
// memory that the history had it in, nor that of the event.
func TestWhatWasBeforeKeepsNothingElse(t *testing.T) {
	w := newWorld(t)
	w.do(anyVersion(put("key", "old value", 0)))
	old := w.Get("key").Value // in the history's memory
	w.do(anyVersion(put("key", "new value", 0)))
	key := "key"
	before, err := w.Previous(key, w.Revision())
	if err != nil || string(before.Value) != "old value" || before.Key != key {
		t.Fatalf("%+v, %v", before, err)
	}
	if unsafe.SliceData(before.Value) == unsafe.SliceData(old) || unsafe.StringData(before.Key) == unsafe.StringData(key) {
		t.Error("it shares memory")
	}
}
