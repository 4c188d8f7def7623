package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"balsa.example/internal/check/history"
)

// judgeTimeout is how long the judgement of one epoch may take.
const judgeTimeout = 2 * time.Minute

// judge takes the history of each epoch, writes it down, and checks it while the
// next one runs. It holds one at a time.
type judge struct {
	dir     string
	working sync.WaitGroup
	// revision is the highest that an acknowledged write of an earlier epoch had.
	revision uint64

	mu     sync.Mutex
	totals totals
	err    error // the first that was wrong
}

// totals are counts of operations.
type totals struct {
	Operations int // whose outcome is of use, or unknown
	Writes     int // acknowledged
	Maybes     int // of unknown fate
	Failed     int // certainly not executed
	Epochs     int
}

func newJudge(dir string) *judge { return &judge{dir: dir} }

// take judges an epoch, after the one before. It returns what was wrong with those.
func (j *judge) take(epoch int, h *history.History) error {
	if err := j.wait(); err != nil {
		return err
	}
	ops := h.Ops()
	j.mu.Lock()
	j.totals.count(ops)
	j.totals.Failed += h.Failed()
	j.mu.Unlock()
	j.working.Go(func() {
		err := errors.Join(j.write(epoch, ops), j.check(ops))
		j.mu.Lock()
		defer j.mu.Unlock()
		if err != nil && j.err == nil {
			j.err = fmt.Errorf("epoch %d: %w", epoch, err)
		}
	})
	return nil
}

// wait waits for the judgement under way, and returns what was wrong so far.
func (j *judge) wait() error {
	j.working.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

func (j *judge) sums() totals {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.totals
}

func (t *totals) count(ops []history.Op) {
	t.Epochs++
	for _, op := range ops {
		t.Operations++
		switch {
		case op.Outcome == history.Maybe:
			t.Maybes++
		case op.Kind == history.Put && op.Outcome == history.OK:
			t.Writes++
		}
	}
}

// check judges the history of an epoch alone, and that its writes came after all of
// earlier epochs.
func (j *judge) check(ops []history.Op) error {
	before := j.revision
	for _, op := range ops {
		if op.Kind != history.Put || op.Outcome != history.OK {
			continue
		}
		if op.Revision > 0 && op.Revision <= before {
			return fmt.Errorf("revision %d of %s was reached before it began: an earlier epoch had %d", op.Revision, op, before)
		}
		j.revision = max(j.revision, op.Revision)
	}
	return history.Check(ops, judgeTimeout)
}

// write leaves the history in a file, one line for each operation: client, call and
// return in nanoseconds since the epoch began, what it was.
func (j *judge) write(epoch int, ops []history.Op) (err error) {
	f, err := os.Create(filepath.Join(j.dir, fmt.Sprintf("history-%03d.txt.gz", epoch)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	packed, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	lines := bufio.NewWriterSize(packed, 64<<10)
	for _, op := range ops {
		fmt.Fprintf(lines, "%d %d %d %s\n", op.Client, op.Call, op.Return, op)
	}
	return errors.Join(lines.Flush(), packed.Close())
}
