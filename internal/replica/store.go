package replica

import (
	"context"

	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
)

// store is the state as a Handler reads it.
type store struct{ *state.Machine }

// Lease is part of translate.Store.
func (s store) Lease(id int64, keys bool) (translate.LeaseInfo, bool) {
	info, attached, ok := s.Machine.Lease(id, keys)
	return translate.LeaseInfo{TTL: info.TTL, Remaining: info.Remaining, Session: info.Session, Keys: attached}, ok
}

// member is a Replica as access control sees it.
type member struct {
	*state.Machine
	r *Replica
}

// Read is part of access.Member.
func (m member) Read(ctx context.Context) error {
	_, err := m.r.Node.ReadAnywhere(ctx, raft.ReadByIndex)
	return err
}

// history is the state as a watch.Hub reads it.
type history struct{ *Replica }

// Scan is part of watch.History.
func (h history) Scan(from uint64, yield func(revision uint64, events []kv.Event) bool) error {
	return h.State.Scan(from, yield)
}

// Previous is part of watch.History.
func (h history) Previous(key string, revision uint64) (*kv.Entry, error) {
	return h.State.Previous(key, revision)
}
