package server

import (
	"context"
	"log/slog"

	"balsa/raft"
)

// naming is a slog.Handler that shows members by their names.
type naming struct {
	slog.Handler
	cluster *Cluster
}

// Handle and WithAttrs are slog.Handler's.
func (n naming) Handle(ctx context.Context, r slog.Record) error {
	named := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
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
	return naming{n.Handler.WithAttrs(named), n.cluster}
}

// WithGroup is slog.Handler's.
func (n naming) WithGroup(name string) slog.Handler {
	return naming{n.Handler.WithGroup(name), n.cluster}
}

func (n naming) name(a slog.Attr) slog.Attr {
	id, ok := a.Value.Any().(raft.NodeID)
	if !ok {
		return a
	}
	if id == raft.None {
		return slog.String(a.Key, "none")
	}
	if m, ok := n.cluster.Member(id); ok {
		return slog.String(a.Key, m.Name)
	}
	return a
}
