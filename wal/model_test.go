package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// model is the naive log: what Load has to return, without any file.
type model struct {
	// own says that the state machine keeps its own state: Options.NoSnapshots. Then snapshot
	// is its position.
	own      bool
	hard     raft.HardState
	base     raft.Index
	baseTerm raft.Term
	entries  []raft.Entry
	snapshot raft.SnapshotMeta
	data     []byte
}

func newModel(conf raft.Configuration) *model {
	return &model{snapshot: raft.SnapshotMeta{Configuration: conf}}
}

func (m *model) clone() *model {
	c := *m
	c.entries = slices.Clone(m.entries)
	return &c
}

func (m *model) last() raft.Index { return m.base + raft.Index(len(m.entries)) }

func (m *model) term(i raft.Index) raft.Term {
	if i == m.base {
		return m.baseTerm
	}
	return m.entries[i-m.base-1].Term
}

func (m *model) save(ps []raft.Persist) {
	for _, p := range ps {
		if p.Snapshot != nil {
			m.base, m.baseTerm, m.entries = p.Snapshot.Index, p.Snapshot.Term, nil
		}
		if p.HardState != nil {
			m.hard = *p.HardState
		}
		if len(p.Entries) > 0 {
			m.entries = append(slices.Clone(m.entries[:p.Entries[0].Index-m.base-1]), p.Entries...)
		}
	}
}

func (m *model) saveSnapshot(meta raft.SnapshotMeta, data []byte) {
	if meta.Index > m.snapshot.Index {
		m.snapshot, m.data = meta, data
	}
}

// options are testOptions for a log like the model.
func (m *model) options(fs vfs.FS, seed uint64) Options {
	opts := testOptions(fs, seed)
	opts.NoSnapshots = m.own
	return opts
}

// load is rsm.Log.Load in words of the model.
func (m *model) load() raft.State {
	st := raft.State{HardState: m.hard, Snapshot: m.snapshot}
	if i := m.snapshot.Index; i <= m.last() && m.term(i) == m.snapshot.Term {
		st.Entries = slices.Clone(m.entries[i-m.base:])
	}
	return st
}

// reopen is a restart: a snapshot that was not yet followed by its Persist takes hold.
func (m *model) reopen() {
	st := m.load()
	m.base, m.baseTerm, m.entries = st.Snapshot.Index, st.Snapshot.Term, st.Entries
}

// step is one call of a Log.
type step struct {
	kind     stepKind
	persists []raft.Persist
	meta     raft.SnapshotMeta
	data     []byte
	index    raft.Index
}

type stepKind int

const (
	stepSave stepKind = iota
	stepSnapshot
	stepCompact
	stepReopen
)

func (s step) onModel(m *model) {
	switch s.kind {
	case stepSave:
		m.save(s.persists)
	case stepSnapshot:
		m.saveSnapshot(s.meta, s.data)
	case stepReopen:
		m.reopen()
	}
}

// onLog does the step, and returns the log to go on with.
func (s step) onLog(l *Log, dir string, opts Options, id Identity) (*Log, error) {
	switch s.kind {
	case stepSave:
		return l, l.Save(s.persists)
	case stepSnapshot:
		if l.opts.NoSnapshots {
			return l, nil
		}
		return l, l.SaveSnapshot(s.meta, func(w io.Writer) error {
			_, err := w.Write(s.data)
			return err
		})
	case stepCompact:
		return l, l.Compact(s.index)
	}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return open(dir, opts, id, s.meta)
}

// open opens a log. If there are no snapshots it loads the log too, behind position.
func open(dir string, opts Options, id Identity, position raft.SnapshotMeta) (*Log, error) {
	l, err := Open(dir, opts, id)
	if err == nil && opts.NoSnapshots {
		if _, err = l.Load(position); err != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return l, err
}

// plausible generates steps as a Raft node would take them.
type plausible struct {
	choose  func(n int) int // uniform in [0, n)
	m       *model
	commit  raft.Index
	pending []step // to come before anything else
}

func (g *plausible) next() step {
	s := g.pick()
	if s.kind == stepReopen {
		s.meta = g.m.snapshot
	}
	s.onModel(g.m)
	return s
}

func (g *plausible) pick() step {
	if len(g.pending) > 0 {
		s := g.pending[0]
		g.pending = g.pending[1:]
		return s
	}
	switch k := g.choose(20); {
	case k < 12:
		return g.save()
	case k < 15 && g.commit > g.m.snapshot.Index:
		i := g.between(g.m.snapshot.Index+1, g.commit)
		return g.snapshotAt(i, g.m.term(i))
	case k < 17:
		return step{kind: stepCompact, index: g.between(0, min(g.m.snapshot.Index, g.commit))}
	case k < 18:
		return g.receive()
	case k < 19:
		g.commit = max(g.commit, g.m.snapshot.Index)
		return step{kind: stepReopen}
	}
	return g.save()
}

func (g *plausible) between(low, high raft.Index) raft.Index {
	return low + raft.Index(g.choose(int(high-low)+1))
}

func (g *plausible) bytes(n int) []byte {
	b := make([]byte, n)
	if g.choose(3) == 0 {
		return b // zeros, which look like what was never written
	}
	for i := range b {
		b[i] = byte(g.choose(256))
	}
	return b
}

func (g *plausible) save() step {
	m := g.m.clone()
	var ps []raft.Persist
	for range 1 + g.choose(3) {
		var p raft.Persist
		if g.choose(3) == 0 {
			p.HardState = &raft.HardState{Term: m.hard.Term + raft.Term(g.choose(2)), Vote: raft.NodeID(g.choose(4)), LeaseGrant: raft.Nanos(g.choose(3)), LostLog: raft.Index(g.choose(2))}
		}
		if g.choose(4) > 0 {
			first := m.last() + 1
			if g.choose(4) == 0 {
				first = g.between(max(g.commit, m.base)+1, m.last()+1)
			}
			for i := range 1 + g.choose(4) {
				size := g.choose(60)
				if g.choose(40) == 0 {
					size = 3000
				}
				e := raft.Entry{Index: first + raft.Index(i), Term: m.hard.Term, Kind: raft.EntryCommand}
				if size > 0 {
					e.Data = g.bytes(size)
				}
				p.Entries = append(p.Entries, e)
			}
		}
		m.save([]raft.Persist{p})
		ps = append(ps, p)
	}
	g.commit = g.between(g.commit, max(g.commit, m.last()))
	return step{kind: stepSave, persists: ps}
}

func (g *plausible) snapshotAt(i raft.Index, term raft.Term) step {
	meta := raft.SnapshotMeta{Index: i, Term: term, Configuration: raft.NewConfiguration(1, 2, raft.NodeID(3+g.choose(3)))}
	return step{kind: stepSnapshot, meta: meta, data: g.bytes(g.choose(2000))}
}

// receive installs a snapshot of a leader, beyond the log or against it. Sometimes a
// restart comes before the log is reset.
func (g *plausible) receive() step {
	s := g.snapshotAt(g.m.last()+1+raft.Index(g.choose(5)), g.m.hard.Term+1)
	if low := max(g.commit, g.m.snapshot.Index) + 1; low <= g.m.last() && g.choose(2) == 0 {
		s.meta.Index = g.between(low, g.m.last())
	}
	g.commit = s.meta.Index
	follow := step{kind: stepReopen}
	if g.choose(3) > 0 {
		follow = step{kind: stepSave, persists: []raft.Persist{{
			Snapshot:  &s.meta,
			HardState: &raft.HardState{Term: s.meta.Term},
		}}}
	} else {
		g.pending = append(g.pending, step{kind: stepSave, persists: []raft.Persist{{HardState: &raft.HardState{Term: s.meta.Term}}}})
	}
	g.pending = append([]step{follow}, g.pending...)
	return s
}

var (
	testID   = Identity{ClusterID: 0xc1, NodeID: 1, Incarnation: [16]byte{1, 2, 3}}
	testConf = raft.NewConfiguration(1, 2, 3)
)

const testDir = "data/wal"

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// testOptions are deterministic and have small segments.
func testOptions(fs vfs.FS, seed uint64) Options {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return Options{FS: fs, SegmentSize: 2048, Rand: rand.NewChaCha8(key), Inline: true}
}

func mustCreate(t testing.TB, opts Options) *Log {
	t.Helper()
	if err := Create(testDir, opts, testID, testConf); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, opts)
}

func mustOpen(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := Open(testDir, opts, testID)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// contents is all that a log holds.
type contents struct {
	State raft.State
	Meta  raft.SnapshotMeta
	Data  []byte
}

func (m *model) contents() contents {
	return contents{State: m.load(), Meta: m.snapshot, Data: m.data}
}

// load loads the log behind the newest snapshot.
func load(l storage) (raft.State, error) {
	meta, r, err := l.OpenSnapshot()
	if err != nil {
		return raft.State{}, err
	}
	defer r.Close()
	return l.Load(meta)
}

func loadAll(l *Log) (c contents, err error) {
	if c.State, err = load(l); err != nil {
		return c, err
	}
	meta, r, err := l.OpenSnapshot()
	if err != nil {
		return c, err
	}
	defer r.Close()
	c.Meta = meta
	c.Data, err = io.ReadAll(r)
	return c, err
}

// loadFrom loads the log, which should be like m.
func (m *model) loadFrom(l *Log) (c contents, err error) {
	if !m.own {
		return loadAll(l)
	}
	c.Meta, c.Data = m.snapshot, m.data
	c.State, err = l.Load(m.snapshot)
	return c, err
}

func (c contents) equal(d contents) bool {
	return c.State.HardState == d.State.HardState && reflect.DeepEqual(c.State.Snapshot, d.State.Snapshot) &&
		slices.EqualFunc(c.State.Entries, d.State.Entries, func(a, b raft.Entry) bool { return reflect.DeepEqual(a, b) }) &&
		reflect.DeepEqual(c.Meta, d.Meta) && bytes.Equal(c.Data, d.Data)
}

func (c contents) String() string {
	s := fmt.Sprintf("term %d vote %d snapshot %v (%d bytes of data), %d entries:", c.State.HardState.Term, c.State.HardState.Vote,
		c.State.Snapshot, len(c.Data), len(c.State.Entries))
	for _, e := range c.State.Entries {
		s += fmt.Sprintf(" %d/%d+%d", e.Term, e.Index, len(e.Data))
	}
	return s
}

// checkContents opens the log in opts.FS and demands that it holds what one of the
// models says. It returns the log and the model.
func checkContents(opts Options, allowed ...*model) (*Log, *model, error) {
	l, err := Open(testDir, opts, testID)
	if err != nil {
		return nil, nil, err
	}
	got, err := allowed[0].loadFrom(l)
	if err != nil {
		return nil, nil, err
	}
	var wants string
	for _, m := range allowed {
		want := m.contents()
		if got.equal(want) {
			m = m.clone()
			m.reopen()
			return l, m, nil
		}
		wants += fmt.Sprintf("\nwant %s", want)
	}
	return nil, nil, fmt.Errorf("got %s%s", got, wants)
}

// checkGoesOn demands that a recovered log takes new steps and survives a restart.
func checkGoesOn(l *Log, m *model, opts Options) error {
	steps := []step{
		{kind: stepSave, persists: []raft.Persist{{
			HardState: &raft.HardState{Term: m.hard.Term + 1, Vote: 2},
			Entries:   []raft.Entry{{Index: m.last() + 1, Term: m.hard.Term + 1, Data: []byte("after")}},
		}}},
		{kind: stepSnapshot, meta: raft.SnapshotMeta{Index: m.last() + 1, Term: m.hard.Term + 1}, data: []byte("state")},
		{kind: stepCompact, index: m.last() + 1},
	}
	var err error
	for _, s := range steps {
		if l, err = s.onLog(l, testDir, opts, testID); err != nil {
			return err
		}
		s.onModel(m)
	}
	if err := l.Close(); err != nil {
		return err
	}
	m.reopen()
	if l, err = Open(testDir, opts, testID); err != nil {
		return err
	}
	got, err := m.loadFrom(l)
	if err != nil {
		return err
	}
	if want := m.contents(); !got.equal(want) {
		return fmt.Errorf("after going on: got %s\nwant %s", got, want)
	}
	return l.Close()
}
