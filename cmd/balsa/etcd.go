package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"balsa.example/internal/etcdconfig"
	"balsa.example/internal/rotate"
	"balsa.example/internal/server"
	"balsa.example/internal/sink"
	"balsa.example/internal/tracing/otlp"
)

func (p *program) etcd() *cobra.Command {
	c := &cobra.Command{
		Use:   "etcd",
		Short: "Run one server of a cluster, with the flags of etcd",
		Long: `Run one server of a cluster in place of etcd ` + etcdconfig.Version + `: with its flags, its variables ETCD_SOME_FLAG,
its configuration file, its ports, and its form of the log. A link named etcd to this program is
the same.

The command line goes before the environment, and a --config-file is used alone, as in etcd. Flags
may begin with one dash. Flags of etcd that are not listed here are accepted and do nothing, which
a line of the log says, or are refused where that would be dangerous.

With BALSA_UI=true in the environment a browser finds the dashboard at /ui of the client port, and
with BALSA_UI_WRITES=true as well it may change things there. BALSA_MAX_CLIENT_CONNECTIONS is how
many connections clients may have (4096).

Exit codes:
  0  stopped by a signal, as process 1; any other process is ended by the signal
  1  it could not start or go on; the last line says why
  2  the command line cannot be read; nothing was changed
  8  its state differs from that of a majority: it must be rebuilt
  9  its disk has lost entries that it had acknowledged: it must be rebuilt
  15 it was removed from the cluster: its data directory is of no use any more
  16 it was started with an address of another member
  17 its log, or the MANIFEST of its state, is damaged: the last line says where`,
		Example: `  C=n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380
  balsa etcd --name n1 --initial-cluster $C \
      --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \
      --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379`,
		DisableFlagParsing: true,
	}
	documented := new(etcdconfig.Options).FlagSet()
	documented.VisitAll(func(f *flag.Flag) {
		flag := pflag.PFlagFromGoFlag(f)
		flag.Hidden = etcdconfig.DoesNothing(f)
		if !flag.Hidden || len(f.Name) > 1 {
			c.Flags().AddFlag(flag)
		}
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := etcdconfig.Parse(args, p.environ)
		switch {
		case err != nil:
			return asOfEtcd(err)
		case o.Help:
			return c.Help()
		case o.Version:
			_, err := fmt.Fprintf(p.stdout, "etcd Version: %s\nGit SHA: %s\nGo Version: %s\nGo OS/Arch: %s/%s\nbalsa Version: %s\n",
				etcdconfig.Version, cmp.Or(thisBuild().Commit, "not known"), runtime.Version(), runtime.GOOS, runtime.GOARCH, thisBuild().Version)
			return err
		}
		return asOfEtcd(p.server(func(c *cobra.Command) error { return p.runEtcd(c, o) })(c, args))
	}
	return c
}

// asOfEtcd gives an error the exit code that it has in etcd: what is wrong with a configuration that can be read
// counts as any other error there.
func asOfEtcd(err error) error {
	if errors.Is(err, etcdconfig.ErrFlags) || exitCode(err) != exitUsage {
		return err
	}
	return withCode(exitError, "%w", err)
}

// balsasOwn sets what etcd has no flags for: variables say it.
func balsasOwn(cfg *server.Config, env func(string) (string, bool)) error {
	var u uiFlags
	f := pflag.NewFlagSet("etcd", pflag.ContinueOnError)
	u.addFlags(f)
	u.show = false
	f.IntVar(&cfg.Clients.Connections, "max-client-connections", 0, "")
	if err := layer(f, env, nil); err != nil {
		return err
	}
	if cfg.Clients.Connections <= 0 && f.Changed("max-client-connections") {
		return usageError("BALSA_MAX_CLIENT_CONNECTIONS must be above 0")
	}
	cfg.UI = u.of()
	return nil
}

// runEtcd runs a server with what was asked of etcd.
func (p *program) runEtcd(c *cobra.Command, o *etcdconfig.Options) error {
	rotation, err := o.Rotation()
	if err != nil {
		return err
	}
	to, err := p.openLog(o.LogOutputs, rotation)
	if err != nil {
		return err
	}
	logger, err := p.startLog(to, o.Handler)
	if err != nil {
		return err
	}
	p.endsBySignal = true
	cfg, err := o.Server(c.Context(), net.DefaultResolver)
	if c.Context().Err() != nil {
		return nil // it was stopped before it began
	}
	if err == nil {
		err = balsasOwn(&cfg, p.env)
	}
	for _, warning := range o.Warnings {
		logger.Warn(warning)
	}
	if err == nil {
		err = etcdconfig.CheckDirectory(cfg.DataDir)
	}
	if err == nil {
		err = o.MakeCertificates(&cfg, time.Now())
	}
	if err != nil {
		return err
	}
	for _, used := range o.Used {
		cfg.Settings = append(cfg.Settings, slog.String(used.Name, used.Value))
	}
	cfg.LogLevel = o.Shown
	cfg.Logger, cfg.LogStats, cfg.Version, cfg.OnReady = logger, p.log.Stats, thisBuild().Version, p.notifyInit
	if o.Tracing.On {
		closeTraces, err := openTraces(c.Context(), &cfg, otlp.Config{
			Endpoint: "http://" + o.Tracing.Address, Service: o.Tracing.Service, Instance: o.Tracing.Instance, Log: logger,
		}, float64(min(max(o.Tracing.PerMillion, 0), 1e6))/1e6)
		if err != nil {
			return usageError("--distributed-tracing-address: %w", err)
		}
		defer closeTraces()
	}
	return server.Run(c.Context(), cfg)
}

// openLog returns a writer to all these outputs of a log. A file goes on for ever where rotation is nil.
func (p *program) openLog(outputs []string, rotation *rotate.Config) (io.Writer, error) {
	var all []io.Writer
	for _, name := range outputs {
		var w io.Writer = p.stderr
		switch etcdconfig.OutputOf(name) {
		case etcdconfig.Stderr:
		case etcdconfig.Stdout:
			w = p.stdout
		case etcdconfig.LogFile:
			file, err := openLogFile(name, rotation)
			if err != nil {
				return nil, usageError("--log-outputs: %w", err)
			}
			log := sink.New(file, plainNote)
			p.logFiles = append(p.logFiles, log)
			w = log
		}
		if !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	if len(all) == 0 {
		return p.stderr, nil
	}
	return io.MultiWriter(all...), nil
}

func openLogFile(name string, rotation *rotate.Config) (io.Writer, error) {
	if rotation != nil {
		return rotate.Open(name, *rotation)
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
