package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/grpclog"

	"balsa.example/internal/sink"
)

// logging is the flags that say what to log and how.
type logging struct {
	level, format string
	// shown is level, until a client changes it. The first call of handler makes it.
	shown *slog.LevelVar
}

func (l *logging) addFlags(flags *pflag.FlagSet, level string) {
	flags.StringVar(&l.level, "log-level", level, "what to log: debug, info, warn or error")
	flags.StringVar(&l.format, "log-format", "text", "how to log: text or json")
}

// start begins the log of a server. Lines of package log, of gRPC and of slog's default logger go
// there too.
func (l *logging) start(p *program) (*slog.Logger, error) {
	logger, err := p.startLog(p.stderr, l.handler)
	if err != nil {
		return nil, err
	}
	for _, warning := range strayVariables(p.environ) {
		logger.Warn(warning)
	}
	return logger, nil
}

// startLog begins a log that is written to w in the form of a handler.
func (p *program) startLog(w io.Writer, form func(io.Writer) (slog.Handler, error)) (*slog.Logger, error) {
	handler, err := form(w)
	if err != nil {
		return nil, err
	}
	if p.log != nil {
		for _, log := range append([]*sink.Writer{p.log}, p.logFiles...) {
			log.SetNote(func(lines uint64) []byte { return note(form, lines) })
		}
	}
	logger := slog.New(handler)
	slog.SetDefault(logger)
	return logger, nil
}

func (l *logging) handler(w io.Writer) (slog.Handler, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(l.level))); err != nil {
		return nil, usageError("--log-level is %q; it must be debug, info, warn or error", l.level)
	}
	if l.shown == nil {
		l.shown = new(slog.LevelVar)
		l.shown.Set(level)
	}
	options := &slog.HandlerOptions{Level: l.shown}
	switch l.format {
	case "text":
		return slog.NewTextHandler(w, options), nil
	case "json":
		return slog.NewJSONHandler(w, options), nil
	default:
		return nil, usageError("--log-format is %q; it must be text or json", l.format)
	}
}

// note returns the line of the log that stands for dropped lines.
func note(form func(io.Writer) (slog.Handler, error), lines uint64) []byte {
	var line bytes.Buffer
	if handler, err := form(&line); err == nil {
		r := slog.NewRecord(time.Now(), slog.LevelError, "lines of the log are missing here: they were not read fast enough", 0)
		r.AddAttrs(slog.Uint64("lines", lines))
		_ = handler.Handle(context.Background(), r) // a buffer does not fail
	}
	return line.Bytes()
}

// grpcErrors takes gRPC's own log. Its errors become warnings; the rest is of no use to operators.
type grpcErrors struct{}

func (grpcErrors) Write(line []byte) (int, error) {
	slog.Warn("gRPC says: " + strings.TrimSpace(string(line)))
	return len(line), nil
}

// captureGRPC must be called before anything else of gRPC is.
func captureGRPC() {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, grpcErrors{}))
}
