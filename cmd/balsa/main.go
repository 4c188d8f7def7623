// Command balsa runs servers of a balsa cluster, and talks to one.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"balsa.example/internal/machine"
	"balsa.example/internal/sink"
	"balsa.example/internal/terminal"
)

func main() {
	if serves(os.Args) {
		machine.StartAnew()
	}
	ignoreWriteSignals()
	captureGRPC()
	ends := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	first := make(chan os.Signal, 1)
	signal.Notify(first, ends...)
	context.AfterFunc(ctx, func() { stop(); signal.Stop(first) }) // a second signal ends the program at once
	p := program{name: os.Args[0], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv, environ: os.Environ()}
	code := p.run(ctx, os.Args[1:])
	if code == exitOK && p.endsBySignal && len(first) > 0 {
		endBy(<-first)
	}
	os.Exit(code)
}

// serves tells whether a command line runs servers. The answer is no where flags with a value
// come before the command.
func serves(args []string) bool {
	if isEtcd(args[0]) {
		return true
	}
	for _, arg := range args[1:] {
		if !strings.HasPrefix(arg, "-") {
			return arg == "serve" || arg == "etcd" || arg == "dev"
		}
	}
	return false
}

// isEtcd tells whether the program was called by the name of etcd.
func isEtcd(name string) bool { return strings.TrimSuffix(filepath.Base(name), ".exe") == "etcd" }

// helpWidth is how many columns the help may take.
const helpWidth = 100

// program is one run of the command, with its inputs and outputs.
type program struct {
	name           string // by which it was called
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)
	environ        []string // all of the environment, name=value

	// result is stdout.
	result *result
	// live is the task of which a line is on the terminal; nil if there was none yet.
	live atomic.Pointer[task]
	// log and out are stderr and stdout of a command that runs servers: see server.
	log, out *sink.Writer
	// logFiles are files that the log is written to, besides.
	logFiles []*sink.Writer
	// screen, if not nil, is the size of a terminal that stdout and stderr are taken for.
	screen func() terminal.Size
	// endsBySignal says that the signal that has stopped the program should be seen to have ended
	// it, as with etcd.
	endsBySignal bool
}

// run executes a command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	p.result = &result{to: p.stdout, live: &p.live}
	p.stdout, p.stderr = p.cleaned(p.result), p.cleaned(p.stderr)
	root := p.root()
	if isEtcd(p.name) {
		args = append([]string{"etcd"}, args...)
	}
	root.SetArgs(args)
	return p.finish(root.ExecuteContext(ctx))
}

// cleaned returns a writer that keeps the commands in texts of others from a terminal, if to is one.
func (p *program) cleaned(to io.Writer) io.Writer {
	if !p.terminal(to).IsTerminal() {
		return to
	}
	return &terminal.Cleaner{Out: to}
}

// uncleaned returns what cleaned was given.
func uncleaned(w io.Writer) io.Writer {
	if c, ok := w.(*terminal.Cleaner); ok {
		return c.Out
	}
	return w
}

// terminal returns what the standard output or error is for people. Commands for the terminal itself are written
// to that.
func (p *program) terminal(to io.Writer) *terminal.Terminal {
	to = uncleaned(to)
	if p.screen != nil {
		return terminal.Fake(to, p.screen, true)
	}
	device := to
	if r, ok := to.(*result); ok {
		device = r.to
	}
	return terminal.Of(to, device, p.env)
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
		PersistentPreRun: func(c *cobra.Command, _ []string) {
			if c.Flags().Lookup("endpoints") == nil {
				return // servers have a log for this
			}
			for _, warning := range strayVariables(p.environ) {
				p.note("balsa: warning: %s", warning)
			}
		},
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth)))
	root.AddCommand(p.dev(), p.serve(), p.etcd(), p.put(), p.get(), p.ls(), p.del(), p.txn(), p.watch(), p.lease(), p.lock(), p.elect(),
		p.auth(), p.user(), p.role(), p.compact(), p.export(), p.importer(), p.backup(), p.restore(), p.recover(), p.check(), p.member(), p.moveLeader(), p.alarm(),
		p.status(), p.health(), p.doctor(), p.logLevel(), p.bench(), p.version())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = helpTopic
		case "completion":
			c.Args, c.RunE = subcommandOnly, root.RunE
		}
	}
	return root
}

// noArgs is for commands without arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(`%s takes no arguments, and got %q; see "%s --help"`, c.CommandPath(), args[0], c.CommandPath())
	}
	return nil
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
