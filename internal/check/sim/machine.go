package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/lease"
)

// machine is what is replicated, with what makes it durable.
type machine interface {
	rsm.DurableMachine[state.Command, state.Result]
	rsm.Hasher
	Revision() uint64
	Get(key string) kv.Result
	Range(op kv.RangeOp) (kv.RangeResult, error)
}

const (
	stateDir = "/state"
	// A small run makes many files, and a small cache lets reads go to them.
	runBytes   = 4 << 10
	cacheBytes = 8 << 10
)

// newMachine returns the machine of a process: that of the service, or in some runs one with
// snapshots, which package rsm has to serve as well.
func (n *node) newMachine() machine {
	if n.witness {
		return newWitnessMachine(n.disk)
	}
	if n.disk.files == nil {
		m := &imaged{w: n.w, Machine: naive.New(truthLimits)}
		return withSnapshots{rsm.WithSnapshots(m, n.disk), m, n.disk}
	}
	limits := lease.DefaultLimits()
	if n.w.mix.ShortOutcomes {
		limits.OutcomeBytes = 20
	}
	cache := int64(cacheBytes)
	if n.w.mix.Cold { // what is in full runs is read from their files
		cache = -1
	}
	m := state.New(state.Config{
		FS: n.disk.files, Dir: stateDir, Cluster: 1, ID: n.id, RunBytes: n.runs, CacheBytes: cache,
		Publisher: publisher{n}, Limits: limits, MaxUnwritten: n.w.mix.MaxUnwritten, MaxIndexBytes: n.w.mix.MaxIndexBytes,
		OnWork: n.onWork,
	})
	m.UseFetcher(fetcher{n})
	return m
}

// onWork notes that commands have waited until the history was written (see state/unwritten.go). That takes no time here:
// the next commands wait for as long.
func (n *node) onWork(work state.Work) func(error) {
	if work == state.WorkFlush {
		n.flushed = true
		n.w.check.counts.Flushes++
	}
	return func(error) {}
}

// withSnapshots is an imaged machine as a durable one, which can resume a stream that broke off.
type withSnapshots struct {
	rsm.DurableMachine[state.Command, state.Result]
	m *imaged
	d *disk
}

func (s withSnapshots) Hash() uint64             { return s.m.hash }
func (s withSnapshots) Revision() uint64         { return s.m.Revision() }
func (s withSnapshots) Get(key string) kv.Result { return s.m.Get(key) }

func (s withSnapshots) Range(op kv.RangeOp) (kv.RangeResult, error) {
	r, code := s.m.Machine.Range(op)
	return r, code.Err()
}

func (s withSnapshots) OpenState() (rsm.StateStream, error) {
	stream, err := s.DurableMachine.OpenState()
	if err != nil {
		return stream, err
	}
	b, err := io.ReadAll(stream.Data)
	stream.ID, stream.Data = xxhash.Sum64(b)|1, readSeekNopCloser{bytes.NewReader(b)}
	return stream, err
}

type readSeekNopCloser struct{ io.ReadSeeker }

func (readSeekNopCloser) Close() error { return nil }

// partial is what has arrived of a stream that broke off.
type partial struct {
	id   rsm.StreamID
	data []byte
}

func (s withSnapshots) StateOffset(_ raft.SnapshotMeta, stream rsm.StreamID) int64 {
	if s.d.partial.id == stream {
		return int64(len(s.d.partial.data))
	}
	return 0
}

func (s withSnapshots) ReceiveState(ctx context.Context, meta raft.SnapshotMeta, stream rsm.StreamID, offset int64, data io.Reader) error {
	if have := s.StateOffset(meta, stream); offset != have {
		return fmt.Errorf("stream %x from %d: %d bytes of it are there", stream, offset, have)
	}
	b, err := io.ReadAll(data)
	b = append(s.d.partial.data[:offset:offset], b...)
	if s.d.partial = (partial{stream, b}); err != nil {
		return err
	}
	s.d.partial = partial{}
	return s.DurableMachine.ReceiveState(ctx, meta, stream, 0, bytes.NewReader(b))
}

// truthLimits are those of the service's machine.
var truthLimits = naive.Limits{TickBudget: 1000, LeaseKeys: 100_000, Window: 1024}

// imaged is a naive machine with snapshots: an rsm.StateMachine. A snapshot is the number of an
// image that the world keeps.
type imaged struct {
	*naive.Machine
	w    *world
	hash uint64 // of all commands
}

// image is the state that a snapshot stands for.
type image struct {
	machine *naive.Machine
	hash    uint64
}

func (m *imaged) DoOp(c state.Command) state.Result {
	b := state.Codec{}.Append(binary.LittleEndian.AppendUint64(nil, m.hash), c)
	m.hash = xxhash.Sum64(b)
	return m.Machine.DoOp(c)
}

// imageBytes is the length of a snapshot.
const imageBytes = 300

func (m *imaged) Snapshot() (io.WriterTo, error) {
	number := uint64(len(m.w.images))
	m.w.images = append(m.w.images, image{m.Machine.Clone(), m.hash})
	b := binary.LittleEndian.AppendUint64(make([]byte, imageBytes-16), number)
	return writing(binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))), nil
}

type writing []byte

func (b writing) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

func (m *imaged) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if len(b) != imageBytes || binary.LittleEndian.Uint64(b[imageBytes-8:]) != xxhash.Sum64(b[:imageBytes-8]) {
		return fmt.Errorf("%w: the snapshot of %d bytes is damaged", errLost, len(b))
	}
	im := m.w.images[binary.LittleEndian.Uint64(b[imageBytes-16:])]
	m.Machine, m.hash = im.machine.Clone(), im.hash
	return nil
}

// stored is the machine of a node as its service reads it.
type stored struct{ machine }

func (s stored) TryGets(keys []string, each func(i int, r kv.Result, ok bool)) {
	for i, key := range keys {
		each(i, s.Get(key), true)
	}
}

// No client asks the service for ranges, leases or their list: those go to the machine.

func (stored) EncodeRange(kv.RangeOp, []byte, func([]byte, *kv.Entry) []byte) ([]byte, kv.RangeResult, error) {
	return nil, kv.RangeResult{}, nil
}

func (stored) Lease(int64, bool) (translate.LeaseInfo, bool) { return translate.LeaseInfo{}, false }
func (stored) Leases() []int64                               { return nil }
