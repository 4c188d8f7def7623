package kv_test

import (
	"testing"

	"balsa.example/kv"

	"pgregory.net/rapid"
)

// model is the store said naively: a map, and the rules one after the other.
type model struct {
	keys     map[string]kv.Entry
	deleted  map[string]uint64 // at which revision last
	resent   map[string]uint64 // at which revision last
	revision uint64
}

func (m *model) do(op kv.Op) kv.Result {
	e, present := m.keys[op.Key]
	found := kv.Result{Version: e.Version, CreateRevision: e.CreateRevision, ModRevision: e.ModRevision, Revision: m.revision}
	refuse := func(c kv.Code) kv.Result {
		found.Code = c
		if op.Kind != kv.Get {
			found.DeleteRevision = m.deleted[op.Key]
		}
		return found
	}

	if op.Kind == kv.Get && present {
		found.Value = e.Value
		return found
	}
	guarded := op.UnchangedSince > 0
	switch {
	case op.Kind == kv.Get:
	case op.Attempt == kv.Resend:
		m.resent[op.Key] = m.revision
	case op.Attempt == kv.FirstAttempt:
		guarded = guarded && m.resent[op.Key] >= op.UnchangedSince
	}
	if !present && (op.Kind != kv.Put || !op.Unconditional && op.Version != 0) {
		return refuse(kv.CodeNoKey)
	}
	if present && !op.Unconditional && op.Version != e.Version {
		return refuse(kv.CodeVersion)
	}
	if guarded && max(e.ModRevision, m.deleted[op.Key]) > op.UnchangedSince {
		return refuse(kv.CodeChanged)
	}
	m.revision++
	if op.Kind == kv.Delete {
		delete(m.keys, op.Key)
		m.deleted[op.Key] = m.revision
		return kv.Result{Revision: m.revision}
	}
	if !present {
		e = kv.Entry{Key: op.Key, CreateRevision: m.revision}
	}
	e.Value, e.Version, e.ModRevision = op.Value, e.Version+1, m.revision
	m.keys[op.Key] = e
	return kv.Result{Version: e.Version, CreateRevision: e.CreateRevision, ModRevision: e.ModRevision, Revision: m.revision}
}

func TestStoreBehavesLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{keys: map[string]kv.Entry{}, deleted: map[string]uint64{}, resent: map[string]uint64{}, revision: 1}
		s, twin := newWorld(t), newWorld(t)
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for range steps {
			op := drawOp(t, "a", "b", "c", "ab", "\x00")
			got, want := s.do(op), m.do(op)
			if !equal(got, want) {
				t.Fatalf("%+v\n got %+v\nwant %+v", op, got, want)
			}
			twin.do(op)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				s.restart()
			}
		}
		for key := range m.keys {
			if got, want := s.Get(key), m.do(get(key)); !equal(got, want) {
				t.Fatalf("key %q holds %+v, want %+v", key, got, want)
			}
		}
		got, want := s.Figures(), twin.Figures()
		if got.Keys != int64(len(m.keys)) || got.Bytes != want.Bytes || got.Revision != m.revision || got.HistoryBytes != want.HistoryBytes {
			t.Fatalf("%+v; want %d keys, revision %d, else %+v", got, len(m.keys), m.revision, want)
		}
		if s.Hash() != twin.Hash() {
			t.Fatal("the hash depends on restarts")
		}
	})
}
