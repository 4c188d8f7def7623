package native

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
)

func TestTheLevelOfTheLogChangesWhileAServerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNetwork(t)
		defer c.close()
		s := c.leader()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.LogLevel(ctx, &api.LogLevelRequest{}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a log that is not the server's: %v", err)
		}
		var text bytes.Buffer
		level := new(slog.LevelVar)
		log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))
		s.cfg.LogLevel = LogLevel{level, log}
		for _, step := range []struct {
			ask, before, after string
			debug              bool // a line of level debug is shown then
		}{
			{"", "info", "info", false},
			{"debug", "info", "debug", true},
			{"error", "debug", "error", false},
			{"", "error", "error", false},
			{"info", "error", "info", false},
		} {
			text.Reset()
			r, err := s.LogLevel(ctx, &api.LogLevelRequest{Level: step.ask})
			if err != nil || r.Before != step.before || r.Level != step.after {
				t.Errorf("%q: %v, %v", step.ask, r, err)
			}
			if said := strings.Contains(text.String(), "from="+step.before+" to="+step.after); said != (step.ask != "") {
				t.Errorf("%q: the log says %q", step.ask, text.String())
			}
			text.Reset()
			if log.Debug("a line"); (text.Len() > 0) != step.debug {
				t.Errorf("%q: a line of level debug is %q", step.ask, text.String())
			}
		}
		if _, err := s.LogLevel(ctx, &api.LogLevelRequest{Level: "DEBUG"}); status.Code(err) != codes.InvalidArgument || level.Level() != slog.LevelInfo {
			t.Errorf("a level that there is not: %v, and then it is %v", err, level)
		}
	})
}
