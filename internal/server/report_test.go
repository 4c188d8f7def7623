package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"balsa.example/transport"
)

// hooked calls hook before it handles a record with a message.
type hooked struct {
	slog.Handler
	message string
	hook    func()
}

func (h hooked) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.hook()
	}
	return h.Handler.Handle(ctx, r)
}

func (h hooked) WithAttrs(attrs []slog.Attr) slog.Handler {
	return hooked{h.Handler.WithAttrs(attrs), h.message, h.hook}
}

// TestAServerThatStartsIsAsked lets a dashboard ask a server that has connected to the others, and has no port
// for clients yet: it answers when it has one.
func TestAServerThatStartsIsAsked(t *testing.T) {
	c := newTestCluster(t, options{servers: 2})
	c.startAll()
	other, id := c.servers[1], c.servers[0].id()
	c.stop(0)
	asked := false
	cfg := &c.configs[0]
	cfg.Descriptors = 100 // too few for all the connections of clients, which the log says as the port is made
	cfg.Logger = slog.New(hooked{cfg.Logger.Handler(), "fewer client connections than wanted, for want of open files (ulimit -n)", func() {
		for deadline := time.Now().Add(patience); time.Now().Before(deadline) && !asked; {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := other.member.Ask(ctx, id, []byte("{}"))
			asked = errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, transport.ErrNotCalled)
			cancel()
		}
	}})
	c.start(0)
	if !asked {
		t.Fatal("it was not asked while it started")
	}
	if _, err := other.member.Ask(t.Context(), id, []byte("{}")); err != nil {
		t.Errorf("then it answers with %v", err)
	}
}
