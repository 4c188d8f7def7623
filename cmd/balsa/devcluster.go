package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/internal/server"
	"balsa.example/member"
)

const (
	// devNodesFile remembers with how many servers the cluster of "balsa dev" began. devAddFile is
	// made by "balsa dev add", and removed by "balsa dev" when it has begun to do so.
	devNodesFile = "nodes"
	devAddFile   = "add"
	// devLook is how often "balsa dev" looks for it, and devPatience how long "balsa dev add" waits.
	devLook     = 200 * time.Millisecond
	devPatience = 5 * time.Second
	// devRemoved is behind the name of the directory of a server that was removed.
	devRemoved = ".removed"
)

func devName(k int) string { return fmt.Sprintf("n%d", k) }

// found finds out with how many servers the cluster began that is in the data directory.
func (o *devOptions) found(given bool) error {
	text, err := os.ReadFile(filepath.Join(o.dataDir, devNodesFile))
	nodes, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil {
		nodes = len(o.directories()) // as an older version left it
	}
	switch {
	case nodes == 0 || nodes == o.nodes:
	case given:
		return fmt.Errorf("the cluster in %s was made with --nodes %d; --data-dir chooses another directory", o.dataDir, nodes)
	default:
		o.nodes = nodes
	}
	return nil
}

// remember notes with how many servers the cluster began.
func (o *devOptions) remember() error {
	return os.WriteFile(filepath.Join(o.dataDir, devNodesFile), fmt.Appendln(nil, o.nodes), 0o600)
}

// directories are the numbers of the servers that have a directory.
func (o *devOptions) directories() (all []int) {
	entries, err := os.ReadDir(o.dataDir)
	if err != nil {
		return nil // there is none yet
	}
	for _, e := range entries {
		if k, err := strconv.Atoi(strings.TrimPrefix(e.Name(), "n")); err == nil && e.IsDir() && devName(k) == e.Name() && k > 0 {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

// present are the numbers of the servers to start: those that have a directory or, in a new
// cluster, all.
func (o *devOptions) present() []int {
	all := o.directories()
	for k := 1; len(all) == 0 && k <= o.nodes || len(all) > 0 && len(all) < o.nodes && k <= o.nodes && !o.began(); k++ {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

// began tells whether the cluster has been started before: then a server without a directory was
// removed.
func (o *devOptions) began() bool {
	_, err := os.Stat(filepath.Join(o.dataDir, devNodesFile))
	return err == nil
}

// others are the peer addresses of the other servers.
func (o *devOptions) others(k int) (all []string) {
	for _, other := range o.directories() {
		if other != k {
			all = append(all, fmt.Sprintf("%s=127.0.0.1:%d", devName(other), o.basePort+peerPortOffset+other-1))
		}
	}
	return all
}

// devCluster is the servers of "balsa dev".
type devCluster struct {
	p       *program
	o       devOptions
	prepare func(*server.Config)
	servers map[string]*server.Server
	ended   chan string // names of servers that have failed
}

func newDevCluster(p *program, o devOptions, prepare func(*server.Config)) *devCluster {
	return &devCluster{p: p, o: o, prepare: prepare, servers: make(map[string]*server.Server), ended: make(chan string)}
}

func (d *devCluster) start(cfg server.Config) error {
	d.prepare(&cfg)
	s, err := server.Start(cfg)
	if err != nil {
		return err
	}
	d.servers[cfg.Name] = s
	return nil
}

// watch adds and removes servers, until ctx ends or one fails.
func (d *devCluster) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	follow := func(name string, s *server.Server) {
		watchers.Go(func() {
			select {
			case <-s.Failed():
				select {
				case d.ended <- name:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		})
	}
	for name, s := range d.servers {
		follow(name, s)
	}
	look := time.NewTicker(devLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-d.ended:
			if err := d.failed(name); err != nil {
				return err
			}
		case <-look.C:
			if name := d.add(); name != "" {
				follow(name, d.servers[name])
			}
		}
	}
}

// failed takes a server out that was removed from the cluster. Any other end is an error.
func (d *devCluster) failed(name string) error {
	err := d.servers[name].Err()
	if !errors.Is(err, member.ErrRemoved) || len(d.servers) == 1 {
		return err
	}
	d.servers[name].Shutdown(context.Background())
	delete(d.servers, name)
	dir := filepath.Join(d.o.dataDir, name)
	if err := errors.Join(os.RemoveAll(dir+devRemoved), os.Rename(dir, dir+devRemoved)); err != nil {
		return err
	}
	fmt.Fprintf(d.p.stdout, "%s was removed\n", name)
	return nil
}

// add starts another server, if "balsa dev add" has asked for one, and returns its name.
func (d *devCluster) add() string {
	if os.Remove(filepath.Join(d.o.dataDir, devAddFile)) != nil {
		return ""
	}
	k := 1
	for slices.Contains(d.o.directories(), k) {
		k++
	}
	cfg, err := d.o.config(k)
	if err == nil {
		cfg.JoinAt = d.o.others(k)
		err = d.start(cfg)
	}
	if err != nil {
		d.p.note("cannot add a server: %v", err)
		return ""
	}
	fmt.Fprintf(d.p.stdout, "%s joins, at %s\n", cfg.Name, join(cfg.ListenClient))
	return cfg.Name
}

// abort stops all servers at once, without a transfer of leadership: none is left to lead.
func (d *devCluster) abort() {
	var stopping sync.WaitGroup
	for _, s := range d.servers {
		stopping.Go(s.Abort)
	}
	stopping.Wait()
}

func (p *program) devAdd() *cobra.Command {
	var dataDir string
	c := &cobra.Command{
		Use:   "add",
		Short: "Add a server to a cluster that balsa dev runs",
		Long: `Let "balsa dev", which runs in another terminal, start one more server. It joins the cluster,
gets the state, and votes: "balsa member list" shows how far it is.

` + exitHelp(exitOK, exitError, exitUsage),
		Example: "  balsa dev add",
		Args:    noArgs,
	}
	c.Flags().StringVar(&dataDir, "data-dir", "balsa-dev", "directory of the servers' data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		file := filepath.Join(dataDir, devAddFile)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return fmt.Errorf("is %s the directory of a cluster of balsa dev? %w", dataDir, err)
		}
		for deadline := time.Now().Add(devPatience); time.Now().Before(deadline) && c.Context().Err() == nil; time.Sleep(devLook / 4) {
			if _, err := os.Stat(file); err != nil {
				_, err := fmt.Fprintln(p.stdout, "balsa dev adds a server: its terminal tells which, and \"balsa member list\" how far it is")
				return err
			}
		}
		os.Remove(file)
		return fmt.Errorf("no balsa dev runs on %s", dataDir)
	}
	return c
}
