package native

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
)

// LogLevel is the level of a server's log, and where a change of it is told. The zero value is that
// of a log whose level cannot be changed here.
type LogLevel struct {
	Level *slog.LevelVar
	Log   *slog.Logger
}

// levels are those that can be asked for.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }

// LogLevel implements api.KVServer.
func (s *Server) LogLevel(ctx context.Context, req *api.LogLevelRequest) (*api.LogLevelReply, error) {
	_, u, err := s.require(ctx, true)
	if err != nil {
		return nil, err
	}
	l := s.cfg.LogLevel
	if l.Level == nil {
		return nil, status.Error(codes.FailedPrecondition, "the log belongs to the program around this server, which decides what it shows")
	}
	before := l.Level.Level()
	reply := &api.LogLevelReply{Level: levelName(before), Before: levelName(before), Name: s.cfg.Hello.Name}
	if req.Level == "" {
		return reply, nil
	}
	i := slices.IndexFunc(levels, func(known slog.Level) bool { return levelName(known) == req.Level })
	if i < 0 {
		return nil, status.Error(codes.InvalidArgument, fmt.Sprintf("level is %q, and must be debug, info, warn or error", req.Level))
	}
	l.Level.Set(levels[i])
	reply.Level = req.Level
	// The line is of a level that is shown before and after: else nobody could tell from the log why its
	// lines end.
	l.Log.Log(ctx, max(before, levels[i], slog.LevelInfo), "the level of this log was changed", "from", reply.Before, "to", reply.Level, "user", u.Name)
	return reply, nil
}
