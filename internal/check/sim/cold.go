package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"balsa.example/internal/check/history"
	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/state"
)

// In part of the runs there are keys that are written at once, once, and stay: nearly all of their run of
// the history is of use for ever. A few of them are deleted, now and then. Those deletions are in runs of
// which nothing else is left, and hide what the first one still has.

const (
	coldPrefix  = "cold"
	coldKeys    = 24
	coldDeletes = 5   // a run is written anew where a fifth of it is of no use
	coldBytes   = 150 // of a value: together they fill a run
)

func coldKey(i int) string { return fmt.Sprintf("%s%02d", coldPrefix, i) }

// keepCold lets these keys be there, and then deletes one after the other, and compacts.
func (w *world) keepCold() {
	if w.healed {
		return
	}
	t, there := &kv.Txn{If: []kv.Compare{{Span: kv.Single(coldKey(coldKeys - 1)), Target: kv.TargetVersion}}}, false
	for i := range coldKeys {
		t.Then = append(t.Then, kv.TxnOp{Put: &kv.PutOp{Key: coldKey(i), Value: make([]byte, coldBytes)}})
		there = w.check.truth.Get(coldKey(i)).Code == kv.CodeOK || there
	}
	if there {
		t = &kv.Txn{Then: []kv.TxnOp{{Delete: &kv.DeleteOp{Span: kv.Single(coldKey(w.rand.IntN(coldDeletes)))}}}}
	}
	m := state.More{Kind: state.KindTxn, Txn: t, Internal: true}
	if there && w.chance(0.3) {
		m = state.More{Kind: state.KindCompact, Revision: w.check.truth.Revision(), Internal: true}
	}
	w.calls = append(w.calls, &call{Call: &history.Call{Client: len(w.callers), Called: int64(w.now), Command: more(m)}, over: true, doubt: true})
	w.ask(m)
	w.readCold(w.nodes[w.rand.IntN(len(w.nodes))])
	w.after(w.upTo(2*time.Second), w.keepCold)
}

// readCold checks what a node has of these keys, which it has to read from files.
func (w *world) readCold(n *node) {
	if !n.up() || n.paused || n.witness {
		return
	}
	var got kv.RangeResult
	var err error
	n.disk.reading(func() { got, err = n.machine.Range(kv.RangeOp{Span: kv.Prefix(coldPrefix)}) })
	if n.disk.excuses(err) || errors.Is(err, errIO) {
		return
	}
	if err != nil {
		w.failf("read", "%s: %v", n.id, err)
	}
	var want []kv.Entry
	for _, e := range w.check.truth.At(got.Revision) {
		if strings.HasPrefix(e.Key, coldPrefix) {
			want = append(want, e)
		}
	}
	if d := naive.DifferRange(got, kv.RangeResult{Entries: want, Count: int64(len(want)), Revision: got.Revision}); d != "" {
		w.failf("content", "%s at %d: %s", n.id, got.Revision, d)
	}
}

// restartAll starts all members again, when nobody writes any more. What they have on disk is all that
// there is.
func (w *world) restartAll(quiet func() bool) {
	if !w.mix.Cold || !w.opt.anyFault() {
		return
	}
	for _, n := range w.members() {
		if n.up() {
			n.crashAndRestart(w.chance(0.5))
		}
	}
	if !w.runUntil(w.now+2*time.Second+w.elections(4), quiet) {
		w.failf("no convergence", "after all were started again: %s", w.describe())
	}
}
