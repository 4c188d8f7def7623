// Command balsa runs servers of a balsa cluster, and talks to one.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"balsa/internal/sink"
)

func main() {
	ignoreReaders()
	captureGRPC()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is one run of the command, with all that it takes from its surroundings.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)

	// log and out are stderr and stdout of a command that runs servers: see server.
	log, out *sink.Writer
}

// run executes a command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.stdin)
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

Begin with "balsa dev", which runs a cluster on this machine.

` + exitCodesHelp,
		Version:       thisBuild().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(`%w; see "%s --help"`, err, c.CommandPath())
	})
	root.AddCommand(p.dev(), p.serve(), p.put(), p.get(), p.del(), p.status(), p.bench(), p.version())
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
