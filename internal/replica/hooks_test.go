package replica_test

import (
	"io"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// hookedLog is the log of a server on a disk that can be slow, or hang. A hook runs before
// each Save; nil at first.
type hookedLog struct {
	*slowLog
	t      testing.TB
	save   atomic.Pointer[func()]
	closed atomic.Bool
}

func (l *hookedLog) Save(ps []raft.Persist) error {
	if l.closed.Load() {
		l.t.Error("Save after the server had stopped")
	}
	if f := l.save.Load(); f != nil {
		(*f)()
	}
	return l.slowLog.Save(ps)
}

// stateDisk is what the files of a server's state are on, an errorfs.Injector over the plug. A
// hook runs before each checkpoint, and before a state is read; nil at first.
type stateDisk struct {
	log        *hookedLog
	plug       *plug
	checkpoint atomic.Pointer[func()]
	restore    atomic.Pointer[func()]
}

// MaybeError implements errorfs.Injector.
func (d *stateDisk) MaybeError(op errorfs.Op) error {
	if d.log.closed.Load() {
		d.log.t.Errorf("%s of the state after the server had stopped", op.Path)
	}
	var hook *func()
	switch name := path.Base(op.Path); {
	case op.Kind == errorfs.OpCreate && strings.HasPrefix(name, "small-"):
		hook = d.checkpoint.Load()
	case op.Kind == errorfs.OpOpen && strings.HasPrefix(name, "small-"):
		hook = d.restore.Load()
	}
	if hook != nil {
		(*hook)()
	}
	return d.plug.MaybeError(op)
}

func (d *stateDisk) String() string { return "state" }

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

// OpenFile is part of rsm.FileOpener.
func (r *heldReceiver) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	return r.Receiver.(rsm.FileOpener).OpenFile(name, offset)
}
