package member

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"balsa.example/raft"
)

// names are those of the members that were not there when the cluster began. Names of members
// that were removed stay, for what is said about them, up to maxNames.
type names struct {
	mu    sync.RWMutex
	byID  map[raft.NodeID]string
	order []raft.NodeID // the one that was learned first, first
}

const maxNames = 256

// learn notes a name.
func (n *names) learn(id raft.NodeID, name string) {
	if name == "" || id == raft.None {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byID == nil {
		n.byID = make(map[raft.NodeID]string)
	}
	if _, ok := n.byID[id]; !ok {
		n.order = append(n.order, id)
	}
	n.byID[id] = name
	if len(n.order) > maxNames {
		delete(n.byID, n.order[0])
		n.order = slices.Delete(n.order, 0, 1)
	}
}

func (n *names) of(id raft.NodeID) (name string, ok bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	name, ok = n.byID[id]
	return name, ok
}

// in is text with names in place of ids.
func (n *names) in(text string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for id, name := range n.byID {
		text = strings.ReplaceAll(text, id.String(), name)
	}
	return text
}

// naming is a slog.Handler that shows members by their names, wherever their ids stand: in
// messages, values and errors. The server's own id, as "id", it leaves out: its name is
// there already.
type naming struct {
	slog.Handler
	cluster *Cluster
	self    string
}

// Logger returns a logger of the member of that name, which shows members by their names,
// wherever their ids stand: in messages, values and errors.
func (c *Cluster) Logger(log *slog.Logger, self string) *slog.Logger {
	return slog.New(naming{log.Handler(), c, self}).With("member", self)
}

// Handle and WithAttrs are slog.Handler's.
func (n naming) Handle(ctx context.Context, r slog.Record) error {
	named := slog.NewRecord(r.Time, r.Level, n.cluster.WithNames(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		named.AddAttrs(n.name(a))
		return true
	})
	return n.Handler.Handle(ctx, named)
}

func (n naming) WithAttrs(attrs []slog.Attr) slog.Handler {
	named := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		named[i] = n.name(a)
	}
	return naming{n.Handler.WithAttrs(named), n.cluster, n.self}
}

// WithGroup is slog.Handler's.
func (n naming) WithGroup(name string) slog.Handler {
	return naming{n.Handler.WithGroup(name), n.cluster, n.self}
}

func (n naming) name(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, n.cluster.WithNames(v.String()))
	case slog.KindAny:
		switch x := v.Any().(type) {
		case raft.NodeID:
			if a.Key == "id" && n.cluster.NameOf(x) == n.self {
				return slog.Attr{} // which handlers leave out
			}
			return slog.String(a.Key, n.cluster.NameOf(x))
		case error:
			return slog.String(a.Key, n.cluster.WithNames(x.Error()))
		case fmt.Stringer:
			return slog.String(a.Key, n.cluster.WithNames(x.String()))
		}
	}
	return a
}

// NameOf is the name of a member, or what there is to say about an id that is none's.
func (c *Cluster) NameOf(id raft.NodeID) string {
	if m, ok := c.Member(id); ok {
		return m.Name
	}
	if name, ok := c.later.of(id); ok {
		return name
	}
	return id.String()
}

// WithNames is text with members' names in place of their ids.
func (c *Cluster) WithNames(text string) string {
	for _, m := range c.Members {
		text = strings.ReplaceAll(text, m.ID.String(), m.Name)
	}
	return c.later.in(text)
}

// namedError is an error whose text shows members by their names.
type namedError struct {
	error
	text string
}

func (e *namedError) Error() string { return e.text }
func (e *namedError) Unwrap() error { return e.error }

// ErrorWithNames is err with a text that shows members by their names; nil if err is.
func (c *Cluster) ErrorWithNames(err error) error {
	if err == nil {
		return nil
	}
	return &namedError{err, c.WithNames(err.Error())}
}
