package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/internal/terminal"
)

// logLevelJSON is what one server says of its log, in the format of -o json.
type logLevelJSON struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Level    string `json:"level"`
	Before   string `json:"before"`
}

func (p *program) logLevel() *cobra.Command {
	levels := []string{"debug", "info", "warn", "error"}
	return p.memberCommand(memberCall{
		use: "log-level [debug|info|warn|error]", short: "Tell or change what servers log, while they run",
		args: cobra.MatchAll(cobra.MaximumNArgs(1), func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && !slices.Contains(levels, args[0]) {
				return fmt.Errorf("the level is %q, and must be debug, info, warn or error", args[0])
			}
			return nil
		}),
		read:    true,
		example: "  balsa log-level\n  balsa log-level debug --endpoints 10.0.0.1:23790",
		long: `Tell at what level servers log, or change it. The servers are those of --endpoints alone, not others
of their cluster. A level stays until it is changed again, or until the server ends: a restart
begins with --log-level. With authentication it takes a user with the role root. A witness, and a
server that does not serve yet, cannot tell who has that role, and refuse.`,
		call: func(r *memberRun) error {
			level, answered, first := "", 0, error(nil)
			if len(r.args) > 0 {
				level = r.args[0]
			}
			for _, endpoint := range r.n.endpoints {
				switch err := r.logLevel(endpoint, level); {
				case err == nil:
					answered++
				case first == nil:
					first = err
				}
			}
			if answered > 0 && !r.n.flags.Changed("endpoints") { // the default names servers that there may not be
				return nil
			}
			return first
		},
	})
}

// logLevel asks one server, and prints what it says.
func (r *memberRun) logLevel(endpoint, level string) error {
	ctx, cancel := r.once()
	defer cancel()
	reply, err := r.ck.LogLevel(ctx, endpoint, level)
	switch {
	case status.Code(err) == codes.Unavailable:
		return withCode(exitUnavailable, "log-level: %w", err)
	case err != nil:
		return r.n.explainCall("log-level of "+endpoint, err)
	}
	if r.out.isJSON() {
		return writeJSON(r.p.stdout, logLevelJSON{reply.Name, endpoint, reply.Level, reply.Before})
	}
	text := reply.Level
	if reply.Before != reply.Level {
		text += ", was " + reply.Before
	}
	_, err = terminal.Fprintf(r.p.stdout, "%s  %s  %s\n", reply.Name, endpoint, text)
	return err
}
