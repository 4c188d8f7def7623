// Command balsa runs servers of a balsa cluster, and talks to one.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"balsa/internal/sink"
)

func main() {
	ignoreReaders()
	captureGRPC()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := program{name: os.Args[0], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv, environ: os.Environ()}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// helpWidth is how many columns the help may take.
const helpWidth = 100

// program is one run of the command, with all that it takes from its surroundings.
type program struct {
	name           string // that it was called by
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)
	environ        []string // all of the environment, name=value

	// result is stdout.
	result *result
	// log and out are stderr and stdout of a command that runs servers: see server.
	log, out *sink.Writer
}

// run executes a command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	p.result = &result{to: p.stdout}
	p.stdout = p.result
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return p.finish(root.ExecuteContext(ctx))
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "balsa",
		Short: "A fault-tolerant, linearizable key/value service",
		Long: `balsa keeps identical key/value databases on several servers, and serves them as
long as a majority of the servers can talk to each other.

Begin with "balsa dev", which runs a cluster on this machine. The help of each command
explains its exit codes.`,
		Version:       thisBuild().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommandOnly,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth)))
	root.AddCommand(p.dev(), p.serve(), p.put(), p.get(), p.del(), p.status(), p.bench(), p.version())
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = helpTopic
	}
	return root
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError(`%w; usage: %s; see "%s --help"`, err, c.UseLine(), c.CommandPath())
		}
		return nil
	}
}
