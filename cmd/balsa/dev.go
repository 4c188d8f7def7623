package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"balsa.example/internal/machine"
	"balsa.example/internal/server"
)

// devOptions are the flags of dev.
type devOptions struct {
	dataDir  string
	basePort int
	nodes    int
	metrics  string
	quota    int64
	pprof    bool
	ui       uiFlags
	traces   traceFlags
	logging  logging
}

func (p *program) dev() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine, to try things out",
		Long: `Run a cluster in one process: real disks and sockets, on loopback addresses only.
Ctrl-C stops it; started again, it finds its data.

While it runs, "balsa dev add" in another terminal adds a server, and "balsa member remove n2"
removes one: its data is kept as n2.removed.

` + serverExitHelp,
		Example: `  balsa dev
  balsa dev --nodes 5 --data-dir /tmp/play`,
		Args: noArgs,
	}
	c.RunE = p.server(func(c *cobra.Command) error {
		if err := o.found(c.Flags().Changed("nodes")); err != nil {
			return err
		}
		return p.runDev(c.Context(), o, settings(c.LocalFlags()))
	})
	c.AddCommand(p.devAdd())
	c.Flags().StringVar(&o.dataDir, "data-dir", "balsa-dev", "directory of the servers' data")
	c.Flags().IntVar(&o.basePort, "base-port", defaultBasePort, "client port of the first server; others follow")
	c.Flags().IntVar(&o.nodes, "nodes", defaultServers, "number of servers: 1, 3 or 5")
	c.Flags().StringVar(&o.metrics, "listen-metrics-urls", "",
		"address to serve /metrics and /health of the first server on; others follow (default: none)")
	c.Flags().BoolVar(&o.pprof, "enable-pprof", false, "serve profiles at /debug/pprof/ of --listen-metrics-urls")
	addQuota(c.Flags(), &o.quota)
	o.ui.addFlags(c.Flags())
	o.traces.addFlags(c.Flags())
	o.logging.addFlags(c.Flags(), "error")
	return c
}

func (p *program) runDev(ctx context.Context, o devOptions, settings []any) error {
	configs, err := o.configs()
	if err != nil {
		return err
	}
	logger, err := o.logging.start(p)
	if err != nil {
		return err
	}
	traces := server.Config{Name: "dev", Version: thisBuild().Version}
	closeTraces, err := o.traces.open(ctx, p, &traces, logger)
	if err != nil {
		return err
	}
	defer closeTraces()
	d := newDevCluster(p, o, func(cfg *server.Config) {
		cfg.TracerProvider, cfg.TraceSample = traces.TracerProvider, traces.TraceSample
		cfg.Logger, cfg.LogLevel, cfg.LogStats, cfg.Settings = logger, o.logging.shown, p.log.Stats, settings
	})
	defer d.abort()
	for _, cfg := range configs {
		if err := d.start(cfg); err != nil {
			return o.explain(err)
		}
	}
	if err := o.remember(); err != nil {
		return err
	}
	starting := p.waiting("the servers are not ready yet")
	defer starting.end()
	for _, s := range d.servers {
		select {
		case <-s.Ready():
		case <-s.Failed():
			return o.explain(s.Err())
		case <-ctx.Done():
			return nil
		}
	}
	starting.end()
	o.welcome(p, configs)
	err = d.watch(ctx)
	if err == nil {
		fmt.Fprintln(p.stdout, "\nstopping")
	}
	return err
}

// configs returns the configuration of each server.
func (o devOptions) configs() ([]server.Config, error) {
	if o.nodes != 1 && o.nodes != 3 && o.nodes != 5 {
		return nil, usageError("--nodes is %d; it must be 1, 3 or 5", o.nodes)
	}
	if o.basePort < 1 || o.basePort+peerPortOffset+o.nodes > 1<<16 {
		return nil, usageError("--base-port is %d; it must leave room for %d ports below 65536", o.basePort, peerPortOffset+o.nodes)
	}
	if o.quota < 0 {
		return nil, errQuota
	}
	var members []string
	for i := range o.nodes {
		members = append(members, fmt.Sprintf("n%d=%s", i+1, loopback(o.basePort+peerPortOffset+i)))
	}
	cluster, err := server.ParseCluster("balsa-dev", strings.Join(members, ","))
	if err != nil {
		return nil, err
	}
	metrics, err := o.metricsURLs()
	if err != nil {
		return nil, err
	}
	var configs []server.Config
	for _, k := range o.present() {
		cfg, err := o.config(k)
		if err != nil {
			return nil, err
		}
		if k <= o.nodes {
			cfg.Cluster, cfg.Pprof = cluster, o.pprof
		} else {
			cfg.JoinAt = o.others(k)
		}
		if metrics != nil && k <= o.nodes {
			cfg.ListenMetrics = metrics[k-1 : k]
		}
		configs = append(configs, cfg)
	}
	return configs, nil
}

// config is that of server nK.
func (o devOptions) config(k int) (server.Config, error) {
	client, err := server.ParseURL(loopback(o.basePort + k - 1))
	if err != nil {
		return server.Config{}, err
	}
	peer, err := server.ParseURL(loopback(o.basePort + peerPortOffset + k - 1))
	if err != nil {
		return server.Config{}, err
	}
	name := devName(k)
	return server.Config{
		Name:         name,
		DataDir:      filepath.Join(o.dataDir, name),
		ListenClient: []*url.URL{client},
		ListenPeer:   []*url.URL{peer},
		Retention:    server.DefaultRetention,
		Quota:        o.quota,
		SlowRequest:  server.DefaultSlowRequest,
		Descriptors:  machine.DescriptorLimit() / (o.nodes + 2), // they share a process
		Version:      thisBuild().Version,
		UI:           o.ui.of(),
	}, nil
}

// metricsURLs returns an address for the metrics of each server; nil if there are none.
func (o devOptions) metricsURLs() ([]*url.URL, error) {
	if o.metrics == "" {
		return nil, nil
	}
	first, err := server.ParseURL(o.metrics)
	if err != nil {
		return nil, usageError("--listen-metrics-urls: %w", err)
	}
	port, err := strconv.Atoi(first.Port())
	if err != nil || port < 1 || port+o.nodes > 1<<16 {
		return nil, usageError("--listen-metrics-urls is %s; it must leave room for %d ports below 65536", o.metrics, o.nodes)
	}
	var urls []*url.URL
	for i := range o.nodes {
		u := *first
		u.Host = net.JoinHostPort(first.Hostname(), strconv.Itoa(port+i))
		urls = append(urls, &u)
	}
	return urls, nil
}

// explain adds what to do about an error.
func (o devOptions) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; is another \"balsa dev\" running? --base-port and --listen-metrics-urls choose other ports", err)
	case errors.Is(err, server.ErrForeign):
		return fmt.Errorf("%w; was it made with another --nodes? --data-dir chooses another directory", err)
	default:
		return err
	}
}

func (o devOptions) welcome(p *program, configs []server.Config) {
	fmt.Fprintf(p.stdout, "balsa dev: %d servers are ready to serve client requests; their data is in %s\n\n", len(configs), o.dataDir)
	var endpoints []string
	for _, cfg := range configs {
		fmt.Fprintf(p.stdout, "  %s  %s\n", cfg.Name, join(cfg.ListenClient))
		for _, u := range cfg.ListenMetrics {
			fmt.Fprintf(p.stdout, "      %s/metrics\n", u)
		}
		endpoints = append(endpoints, cfg.ListenClient[0].Host)
	}
	if o.basePort != defaultBasePort {
		fmt.Fprintf(p.stdout, "\nIn another terminal, first:\n\n  export BALSA_ENDPOINTS=%s\n", strings.Join(endpoints, ","))
	}
	fmt.Fprintf(p.stdout, `
Try, in another terminal, in the same folder:

  %[1]s put greeting hello
  %[1]s get greeting
  %[1]s put greeting bonjour --version 1
  %[1]s status

%[2]sCtrl-C stops all; the data stays.
`, calledAs(p.name), o.ui.hint(configs))
}
