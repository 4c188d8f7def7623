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

// judgeTimeout bounds the check of one epoch.
const judgeTimeout = 2 * time.Minute

// judge writes the history of each epoch to a file, and checks it while the next epoch runs. It
// holds one history at a time.
type judge struct {
	dir     string
	working sync.WaitGroup
	// revision is the highest that an acknowledged write of an earlier epoch had.
	revision uint64

	mu     sync.Mutex
	totals totals
	err    error // the first violation
}

// totals are counts of operations.
type totals struct {
	Operations int // that returned a result, or have an unknown outcome
	Writes     int // acknowledged
	Maybes     int // of unknown outcome
	Failed     int // certainly not executed
	Epochs     int
	// Events are those of which watches of the etcd API were told, Leases those that its clients held.
	Events, Leases int
}

func newJudge(dir string) *judge { return &judge{dir: dir} }

// take checks an epoch, when the one before is checked, with the record of the etcd API if it has one. It returns the first error so far.
func (j *judge) take(epoch int, h *history.History, etcd *etcdRecord) error {
	if err := j.wait(); err != nil {
		return err
	}
	ops := h.Ops()
	j.mu.Lock()
	j.totals.count(ops)
	j.totals.Failed += h.Failed()
	if etcd != nil {
		events, leases := etcd.count()
		j.totals.Events += events
		j.totals.Leases += leases
	}
	j.mu.Unlock()
	j.working.Go(func() {
		err := errors.Join(j.write(epoch, ops, etcd), j.check(ops))
		if err == nil && etcd != nil {
			err = etcd.check(ops)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if err != nil && j.err == nil {
			j.err = fmt.Errorf("epoch %d: %w", epoch, err)
		}
	})
	return nil
}

// wait waits for the check under way, and returns the first error so far.
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

// check checks the history of one epoch, and that its writes come after all of earlier epochs.
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

// write writes the history to a file, one line for each operation: client, call and return in
// nanoseconds since the beginning of the epoch, operation and result; then what is known of leases, and the events.
func (j *judge) write(epoch int, ops []history.Op, etcd *etcdRecord) (err error) {
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
	if etcd != nil {
		etcd.write(lines)
	}
	return errors.Join(lines.Flush(), packed.Close())
}
