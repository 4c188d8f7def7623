package etcdconfig

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
)

// timeLayout is how etcd writes times in its log.
const timeLayout = "2006-01-02T15:04:05.000000Z0700"

// Handler returns what writes lines of a log in etcd's form: level, ts, caller, msg and fields, as
// JSON, or as text if LogFormat is console. The first call makes Shown.
func (o *Options) Handler(w io.Writer) (slog.Handler, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError, "dpanic": slog.LevelError, "panic": slog.LevelError, "fatal": slog.LevelError,
	}
	level, ok := levels[o.LogLevel]
	if !ok {
		return nil, usageError("--log-level is %q; it must be debug, info, warn, error, panic or fatal", o.LogLevel)
	}
	if o.Shown == nil {
		o.Shown = new(slog.LevelVar)
		o.Shown.Set(level)
	}
	options := &slog.HandlerOptions{Level: o.Shown, AddSource: true, ReplaceAttr: inEtcdsForm}
	switch o.LogFormat {
	case "json", "":
		return slog.NewJSONHandler(w, options), nil
	case "console":
		return slog.NewTextHandler(w, options), nil
	}
	return nil, usageError("--log-format is %q; it must be json or console", o.LogFormat)
}

// inEtcdsForm gives an attribute that every line has the name and the form that it has in etcd's log.
func inEtcdsForm(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch value := a.Value.Any().(type) {
	case slog.Level:
		if a.Key == slog.LevelKey {
			return slog.String("level", strings.ToLower(value.String()))
		}
	case *slog.Source:
		file := filepath.Base(filepath.Dir(value.File)) + "/" + filepath.Base(value.File)
		return slog.String("caller", fmt.Sprintf("%s:%d", file, value.Line))
	}
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String("ts", a.Value.Time().Format(timeLayout))
	}
	return a
}

// Tracing is what is said of spans.
type Tracing struct {
	On                         bool
	Address, Service, Instance string
	PerMillion                 int
}
