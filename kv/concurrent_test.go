package kv_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"

	"balsa.example/kv"
)

// TestReadersSeeOnlyWholeOperations lets readers, ranges and images run beside the
// writer. Each operation writes its own revision as the value, so that a reader can
// check whether the fields of what it reads belong together.
func TestReadersSeeOnlyWholeOperations(t *testing.T) {
	s := kv.NewStore()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, read := range []func(s *kv.Store, i int) error{readKey, readRange, readTotals} {
		wg.Go(func() {
			for i := 0; ; i++ {
				if err := read(s, i); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	images := make(chan io.WriterTo)
	wg.Go(func() { restoreAll(t, images) })
	writeWithImages(s, images)
	close(images)
	close(done)
	wg.Wait()
}

func concurrentKey(i int) string { return fmt.Sprintf("key %03d", i%200) }

func readKey(s *kv.Store, i int) error {
	r := s.Get(concurrentKey(i))
	if r.Code == kv.CodeOK && string(r.Value) != fmt.Sprint(r.ModRevision) || r.ModRevision > r.Revision {
		return fmt.Errorf("get: %+v", r)
	}
	return nil
}

func readRange(s *kv.Store, _ int) error {
	last, highest := "", uint64(0)
	for e := range s.Ascend("", "") {
		if e.Key <= last || string(e.Value) != fmt.Sprint(e.ModRevision) {
			return fmt.Errorf("ascend: %+v after %q", e, last)
		}
		last, highest = e.Key, max(highest, e.ModRevision)
	}
	if highest > s.Revision() {
		return fmt.Errorf("ascend: revision %d of a store at %d", highest, s.Revision())
	}
	return nil
}

func readTotals(s *kv.Store, _ int) error {
	s.Len()
	s.Bytes()
	s.Hash()
	return nil
}

// restoreAll writes and restores each image, and closes it.
func restoreAll(t *testing.T, images <-chan io.WriterTo) {
	for image := range images {
		var b bytes.Buffer
		if _, err := image.WriteTo(&b); err != nil {
			t.Error(err)
		}
		if err := kv.NewStore().Restore(&b); err != nil {
			t.Error(err)
		}
		image.(io.Closer).Close()
	}
}

// writeWithImages puts and deletes keys, and takes an image now and then.
func writeWithImages(s *kv.Store, images chan<- io.WriterTo) {
	for i := range 5000 {
		op := anyVersion(put(concurrentKey(i*7), fmt.Sprint(s.Revision()+1), 0))
		if i%5 == 0 {
			op = anyVersion(del(concurrentKey(i*3), 0))
		}
		s.DoOp(op)
		if i%100 == 0 {
			image, _ := s.Snapshot()
			select {
			case images <- image:
			default: // the last one is still being written
				image.(io.Closer).Close()
			}
		}
	}
}
