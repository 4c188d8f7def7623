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
// tell whether what it got belongs together.
func TestReadersSeeOnlyWholeOperations(t *testing.T) {
	const keys, ops = 200, 5000
	s := kv.NewStore()
	done := make(chan struct{})
	var wg sync.WaitGroup
	until := func(read func(i int) error) {
		wg.Go(func() {
			for i := 0; ; i++ {
				if err := read(i); err != nil {
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
	key := func(i int) string { return fmt.Sprintf("key %03d", i%keys) }

	until(func(i int) error {
		r := s.Get(key(i))
		if r.Code == kv.CodeOK && string(r.Value) != fmt.Sprint(r.ModRevision) || r.ModRevision > r.Revision {
			return fmt.Errorf("get: %+v", r)
		}
		return nil
	})
	until(func(int) error {
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
	})
	until(func(int) error {
		s.Len()
		s.Bytes()
		s.Hash()
		return nil
	})

	images := make(chan io.WriterTo)
	wg.Go(func() {
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
	})

	for i := range ops {
		op := anyVersion(put(key(i*7), fmt.Sprint(s.Revision()+1), 0))
		if i%5 == 0 {
			op = anyVersion(del(key(i*3), 0))
		}
		s.DoOp(op)
		if i%100 == 0 {
			image, _ := s.Snapshot()
			select {
			case images <- image:
			default: // the last one is being written still
				image.(io.Closer).Close()
			}
		}
	}
	close(images)
	close(done)
	wg.Wait()
}
