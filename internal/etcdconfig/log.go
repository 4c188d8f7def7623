package etcdconfig

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"balsa.example/internal/rotate"
)

// timeLayout is how etcd writes times in its log.
const timeLayout = "2006-01-02T15:04:05.000000Z0700"

// Handler returns what writes lines of a log in etcd's form: level, ts, caller, msg and fields, as
// JSON, or with tabs between the first four if LogFormat is console. The first call makes Shown.
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
		return newConsole(w, o.Shown), nil
	}
	return nil, usageError("--log-format is %q; it must be json or console", o.LogFormat)
}

// Output is where a log goes.
type Output int

// The kinds of outputs.
const (
	Stderr Output = iota
	Stdout
	LogFile
)

// OutputOf is what one of LogOutputs names: a file, unless it is a word for something else.
func OutputOf(name string) Output {
	switch name {
	case "default", "stderr", "systemd/journal": // the journal takes the standard error of a service
		return Stderr
	case "stdout":
		return Stdout
	}
	return LogFile
}

// Rotation says when a log file that LogOutputs names ends; nil: never.
func (o *Options) Rotation() (*rotate.Config, error) {
	if !o.rotate {
		return nil, nil
	}
	files := 0
	for _, name := range o.LogOutputs {
		if OutputOf(name) == LogFile {
			files++
		}
	}
	if files > 1 || files == 0 && len(o.LogOutputs) == 1 {
		return nil, usageError("--enable-log-rotation is about one file, and --log-outputs names %d", files)
	}
	var c struct {
		MaxSize, MaxAge, MaxBackups int64
		LocalTime, Compress         bool
	}
	if err := json.Unmarshal([]byte(o.rotation), &c); err != nil {
		return nil, usageError("--log-rotation-config-json is %q: %w", o.rotation, err)
	}
	const most = 1 << 20 // TiB, and days
	if min(c.MaxSize, c.MaxAge, c.MaxBackups) < 0 || max(c.MaxSize, c.MaxAge) > most {
		return nil, usageError("--log-rotation-config-json is %q; its numbers must be from 0 to %d", o.rotation, most)
	}
	return &rotate.Config{
		MaxBytes: c.MaxSize << 20, MaxAge: time.Duration(c.MaxAge) * 24 * time.Hour, MaxBackups: int(min(c.MaxBackups, math.MaxInt32)),
		LocalTime: c.LocalTime, Compress: c.Compress,
	}, nil
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
		return slog.String("caller", callerOf(value))
	}
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String("ts", a.Value.Time().Format(timeLayout))
	}
	return a
}

// callerOf is a place in the program: the last folder, the file and the line.
func callerOf(s *slog.Source) string {
	return fmt.Sprintf("%s/%s:%d", filepath.Base(filepath.Dir(s.File)), filepath.Base(s.File), s.Line)
}

// Tracing is what is said of spans.
type Tracing struct {
	On                         bool
	Address, Service, Instance string
	PerMillion                 int
}
