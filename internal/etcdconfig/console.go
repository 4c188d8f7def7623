package etcdconfig

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// console is the handler of a log for people, in the form of etcd:
//
//	2026-01-02T15:04:05.000000Z	info	server/server.go:12	a message	{"field":"value"}
type console struct {
	level  slog.Leveler
	fields slog.Handler // writes those of a record to out.line, as JSON
	out    *consoleOutput
}

// consoleOutput is what the handlers of one log share.
type consoleOutput struct {
	mu   sync.Mutex
	line bytes.Buffer
	w    io.Writer
}

func newConsole(w io.Writer, level slog.Leveler) slog.Handler {
	out := &consoleOutput{w: w}
	return &console{level: level, out: out, fields: slog.NewJSONHandler(&out.line, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutColumns})}
}

// withoutColumns leaves out what has a column of its own.
func withoutColumns(groups []string, a slog.Attr) slog.Attr {
	_, isLevel := a.Value.Any().(slog.Level)
	switch {
	case len(groups) > 0:
	case a.Key == slog.LevelKey && isLevel, a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime, a.Key == slog.MessageKey:
		return slog.Attr{}
	}
	return a
}

// Enabled implements slog.Handler.
func (c *console) Enabled(_ context.Context, level slog.Level) bool { return level >= c.level.Level() }

// Handle implements slog.Handler.
func (c *console) Handle(ctx context.Context, r slog.Record) error {
	columns := []string{r.Time.Format(timeLayout), strings.ToLower(r.Level.String())}
	if s := r.Source(); s != nil {
		columns = append(columns, callerOf(s))
	}
	columns = append(columns, strings.ReplaceAll(r.Message, "\n", `\n`)) // a line is one record
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.line.Reset()
	if err := c.fields.Handle(ctx, r); err != nil {
		return err
	}
	if fields := strings.TrimSpace(c.out.line.String()); fields != "{}" {
		columns = append(columns, fields)
	}
	_, err := io.WriteString(c.out.w, strings.Join(columns, "\t")+"\n")
	return err
}

// WithAttrs implements slog.Handler.
func (c *console) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &console{c.level, c.fields.WithAttrs(attrs), c.out}
}

// WithGroup implements slog.Handler.
func (c *console) WithGroup(name string) slog.Handler {
	return &console{c.level, c.fields.WithGroup(name), c.out}
}
