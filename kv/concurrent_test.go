package kv_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"balsa.example/kv"
	"balsa.example/kv/run"
)

// TestReadersSeeOnlyWholeOperations lets readers, and the work in the background, run beside the
// writer. Each operation writes its own revision as the value, so that a reader can check whether
// the fields of what it reads belong together. Most keys are there all the time, and more than a
// range reads at once.
func TestReadersSeeOnlyWholeOperations(t *testing.T) {
	w := newWorld(t)
	for i := range concurrentKeys {
		w.do(put(concurrentKey(i), fmt.Sprint(w.Revision()+1), 0))
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, read := range []func(s *kv.Store, i int) error{readKey, readRange, readTxn, readPast, readHistory, readTotals} {
		wg.Go(func() {
			for i := 0; ; i++ {
				if err := read(w.Store, i); err != nil {
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
	work := make(chan checkpoint)
	wg.Go(func() { freeAndFlush(w, work) })
	writeAndCompact(w, work)
	close(work)
	close(done)
	wg.Wait()
}

const concurrentKeys = 700

func concurrentKey(i int) string { return fmt.Sprintf("key %03d", i%concurrentKeys) }

func readKey(s *kv.Store, i int) error {
	r := s.Get(concurrentKey(i))
	if r.Code == kv.CodeOK && string(r.Value) != fmt.Sprint(r.ModRevision) || r.ModRevision > r.Revision {
		return fmt.Errorf("get: %+v", r)
	}
	return nil
}

func readRange(s *kv.Store, _ int) error {
	r, err := s.Range(kv.RangeOp{})
	if err != nil {
		return err
	}
	return ordered(r.Entries, r.Revision)
}

// readTxn reads everything twice, and compares it.
func readTxn(s *kv.Store, _ int) error {
	all := kv.TxnOp{Range: new(kv.RangeOp)}
	r, err := s.ReadTxn(&kv.Txn{
		If:   []kv.Compare{{Target: kv.TargetMod, Relation: kv.Greater}, {Target: kv.TargetValue, Relation: kv.NotEqual}},
		Then: []kv.TxnOp{all, all},
	}, 1<<30)
	if err != nil || !r.Succeeded {
		return fmt.Errorf("transaction: %t, %w", r.Succeeded, err)
	}
	first, second := r.Responses[0].Range.Entries, r.Responses[1].Range.Entries
	if !slices.EqualFunc(first, second, func(a, b kv.Entry) bool { return a.Key == b.Key && a.ModRevision == b.ModRevision }) {
		return errors.New("two ranges of one transaction differ")
	}
	return ordered(first, r.Revision)
}

// readPast reads at an earlier revision, which may have been compacted.
func readPast(s *kv.Store, i int) error {
	at := s.Revision()
	at -= min(at-concurrentKeys-1, uint64(i%300))
	r, err := s.Range(kv.RangeOp{Revision: at})
	if errors.Is(err, kv.ErrCompacted) && len(r.Entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return ordered(r.Entries, at)
}

// ordered demands entries in the order of keys, none of them later than a revision, and all that
// are there all the time.
func ordered(entries []kv.Entry, at uint64) error {
	last, lasting := "", 0
	for _, e := range entries {
		if e.Key <= last || string(e.Value) != fmt.Sprint(e.ModRevision) || e.ModRevision > at {
			return fmt.Errorf("range at %d: %+v after %q", at, e, last)
		}
		last = e.Key
		if strings.HasPrefix(e.Key, "key") {
			lasting++
		}
	}
	if lasting != concurrentKeys {
		return fmt.Errorf("range at %d: %d of %d keys", at, lasting, concurrentKeys)
	}
	return nil
}

// readHistory demands each revision from one on, without a gap.
func readHistory(s *kv.Store, _ int) error {
	next := max(s.Revision(), 102) - 100
	var bad error
	err := s.Scan(next, func(revision uint64, events []kv.Event) bool {
		if revision != next || len(events) != 1 || events[0].ModRevision != revision {
			bad = fmt.Errorf("scan: revision %d, want %d: %+v", revision, next, events)
		}
		next++
		return bad == nil
	})
	if err != nil && !errors.Is(err, kv.ErrCompacted) {
		return err
	}
	return bad
}

func readTotals(s *kv.Store, _ int) error {
	s.Figures()
	s.Hash()
	return nil
}

// checkpoint is where the writer was.
type checkpoint struct {
	mark      run.Mark
	compacted uint64
}

// freeAndFlush does the work in the background: it writes files, and purges what a compaction that
// is durable has left.
func freeAndFlush(w *world, work <-chan checkpoint) {
	for c := range work {
		w.flushTo(c.mark)
		w.Durable(c.compacted)
		for w.Purge(50) {
		}
	}
}

// writeAndCompact puts and deletes keys, and compacts now and then.
func writeAndCompact(w *world, work chan<- checkpoint) {
	for i := range 5000 {
		w.do(anyVersion(put(concurrentKey(i*13), fmt.Sprint(w.Revision()+1), 0)))
		switch i % 5 {
		case 0:
			w.do(put("brief", fmt.Sprint(w.Revision()+1), 0))
		case 3:
			w.do(del("brief", 1))
		}
		if compacted := w.Revision() - 200; i%100 == 99 && compacted > concurrentKeys {
			w.Compact(compacted)
			select {
			case work <- checkpoint{w.history.Mark(), compacted}:
			default: // the last one is still being worked at
			}
		}
	}
}
