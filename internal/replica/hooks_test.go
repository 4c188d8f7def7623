package replica_test

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
)

// hookedLog is the log of a server on a disk that can be slow, or hang. Each hook runs before
// the method that it is named for; nil at first.
type hookedLog struct {
	*slowLog
	t            testing.TB
	save         atomic.Pointer[func()]
	saveSnapshot atomic.Pointer[func()]
	openSnapshot atomic.Pointer[func()]
	closed       atomic.Bool
}

func (l *hookedLog) enter(what string, hook *atomic.Pointer[func()]) {
	if l.closed.Load() {
		l.t.Errorf("%s after the server had stopped", what)
	}
	if f := hook.Load(); f != nil {
		(*f)()
	}
}

func (l *hookedLog) Save(ps []raft.Persist) error {
	l.enter("Save", &l.save)
	return l.slowLog.Save(ps)
}

func (l *hookedLog) SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	l.enter("SaveSnapshot", &l.saveSnapshot)
	return l.slowLog.SaveSnapshot(meta, write)
}

func (l *hookedLog) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	l.enter("OpenSnapshot", &l.openSnapshot)
	return l.slowLog.OpenSnapshot()
}

// heldReceiver is a server that may stop reading. What arrives then waits until release.
type heldReceiver struct {
	memnet.Receiver

	mu       sync.Mutex
	holds    bool
	messages []raft.Message
	released chan struct{} // closed when it reads again
	streams  atomic.Int64  // snapshots that wait
}

func (r *heldReceiver) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds, r.released = true, make(chan struct{})
}

func (r *heldReceiver) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.holds {
		return
	}
	for _, m := range r.messages {
		r.Receiver.Receive(m)
	}
	r.holds, r.messages = false, nil
	close(r.released)
}

// waiting counts the messages with entries that wait, and the bytes of these.
func (r *heldReceiver) waiting() (appends, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		if m, ok := m.(*raft.AppendEntries); ok && len(m.Entries) > 0 {
			appends++
			for _, e := range m.Entries {
				bytes += len(e.Data)
			}
		}
	}
	return appends, bytes
}

func (r *heldReceiver) Receive(m raft.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds {
		r.messages = append(r.messages, m)
		return
	}
	r.Receiver.Receive(m)
}

func (r *heldReceiver) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	r.mu.Lock()
	holds, released := r.holds, r.released
	r.mu.Unlock()
	if holds {
		r.streams.Add(1)
		<-released
		r.streams.Add(-1)
	}
	return r.Receiver.ReceiveSnapshot(m, data)
}
