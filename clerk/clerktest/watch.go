package clerktest

import (
	"context"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memclerk"
	"balsa.example/kv"
)

const (
	// progressInterval is how often a watcher to whom nothing happens is told so.
	progressInterval = 2 * time.Second
	// expiryInterval is how often leases are looked after while there are watchers.
	expiryInterval = 50 * time.Millisecond
)

// Watch implements clerk.WatchCaller.
func (c *caller) Watch(_ string, create *api.WatchCreate) (clerk.Subscription, error) {
	return memclerk.Watch(c.service.net, c.client, server, create, c.service.look), nil
}

// look returns what a watcher is told next.
func (s *Service) look(ctx context.Context, w *api.WatchCreate, created bool) (*api.WatchUpdate, error) {
	for end := time.Now().Add(progressInterval); ; {
		u, changed := s.update(w, created, !time.Now().Before(end))
		if u != nil {
			return u, nil
		}
		timer := time.NewTimer(expiryInterval)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// update returns what there is to tell, nil if there is nothing. Then changed is closed when the
// store has changed.
func (s *Service) update(w *api.WatchCreate, created, late bool) (u *api.WatchUpdate, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	m := s.node.Machine
	switch compacted := m.Compacted(); {
	case !created:
		return &api.WatchUpdate{Kind: api.WatchUpdate_CREATED, Revision: m.Revision()}, nil
	case w.Revision < compacted:
		return &api.WatchUpdate{Kind: api.WatchUpdate_CANCELED, Code: api.Reply_COMPACTED, Compacted: compacted}, nil
	}
	for r := w.Revision; r <= m.Revision(); r++ {
		if events := eventsFor(w, m.Events(r)); len(events) > 0 {
			return &api.WatchUpdate{Batches: []*api.EventBatch{{Revision: r, Events: events}}}, nil
		}
	}
	if late && w.Revision <= m.Revision() {
		return &api.WatchUpdate{Kind: api.WatchUpdate_PROGRESS, Revision: m.Revision()}, nil
	}
	return nil, s.changed
}

// eventsFor returns what a watcher wants of the events of a revision.
func eventsFor(w *api.WatchCreate, events []kv.Event) (all []*api.Event) {
	span := clerk.Span{From: string(w.Span.GetFrom()), To: string(w.Span.GetTo())}
	for _, e := range events {
		if !span.Contains(e.Key) || w.NoDelete && e.Deleted || w.NoPut && !e.Deleted {
			continue
		}
		event := &api.Event{Entry: entryOf(&e.Entry), Deleted: e.Deleted}
		if w.Prev && e.Prev != nil {
			event.Prev = entryOf(e.Prev)
		}
		all = append(all, event)
	}
	return all
}

func entryOf(e *kv.Entry) *api.Entry {
	return &api.Entry{
		Key: []byte(e.Key), Value: e.Value, Version: e.Version,
		CreateRevision: e.CreateRevision, ModRevision: e.ModRevision, Lease: e.Lease,
	}
}
