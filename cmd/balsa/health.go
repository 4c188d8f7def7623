package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

// maxHealthBytes is how much is read of an answer to a probe.
const maxHealthBytes = 4 << 10

func (p *program) health() *cobra.Command {
	var n connection
	var live bool
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask servers whether they are ready: a probe for containers",
		Long: `Ask each server of --endpoints, and no other, whether it is ready: GET /readyz, or with --live
GET /livez. It is meant for a container that has no shell and no curl. "balsa status" asks
about the whole cluster.

A server that knows no leader is alive and not ready. One that waits for the others to begin
the cluster, or to be admitted to it, is neither.

Exit codes:
  0  all answer that they are
  1  any other error
  2  wrong usage
  6  one is not, or does not answer in time
  7  the result could not be printed: the disk is full, or the reader has ended`,
		Example: `  balsa health
  balsa health --live --endpoints https://10.0.0.1:23790 --cacert ca.pem`,
		Args: noArgs,
	}
	flags := n.newFlags()
	n.endpoints = defaultEndpoints()[:1]
	flags.Lookup("endpoints").Usage = "servers to ask, host:port or URLs ($BALSA_ENDPOINTS) (default " + n.endpoints[0] + ")"
	for _, name := range []string{"endpoints", "cacert", "cert", "key", "timeout"} {
		c.Flags().AddFlag(flags.Lookup(name))
	}
	c.Flags().BoolVar(&live, "live", false, "ask whether they are alive")
	c.RunE = func(c *cobra.Command, _ []string) error {
		client, err := n.probing(p)
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(c.Context(), n.timeout)
		defer cancel()
		path, what := "/readyz", "ready"
		if live {
			path, what = "/livez", "alive"
		}
		for _, endpoint := range n.endpoints {
			err := n.probe(ctx, p, client, endpoint, path)
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("no answer within %s; a server that knows no leader takes longer, and /health of its client port says so at once", n.timeout)
			}
			if err != nil {
				return withCode(exitUnavailable, "%s is not %s: %w", hostPort(endpoint), what, err)
			}
			fmt.Fprintf(p.stdout, "%s is %s\n", hostPort(endpoint), what)
		}
		return nil
	}
	return c
}

// probing returns a client of HTTP for what the flags say.
func (n *connection) probing(p *program) (*http.Client, error) {
	if err := n.load(p); err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if n.caCert != "" {
		pem, err := os.ReadFile(n.caCert)
		if err != nil {
			return nil, usageError("--cacert: %w", err)
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageError("--cacert: %s has no certificate", n.caCert)
		}
	}
	if n.cert != "" {
		pair, err := tls.LoadX509KeyPair(n.cert, n.key)
		if err != nil {
			return nil, usageError("--cert and --key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}, nil
}

// probe asks one server.
func (n *connection) probe(ctx context.Context, p *program, client *http.Client, endpoint, path string) error {
	if !strings.Contains(endpoint, "://") {
		scheme := "http://"
		if n.speaksTLS(endpoint) {
			scheme = "https://"
		}
		endpoint = scheme + endpoint
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(endpoint, "/")+path, nil)
	if err != nil {
		return err
	}
	reply, err := client.Do(request)
	if err != nil {
		return n.explainProbe(ctx, p, endpoint, err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, maxHealthBytes))
	if err != nil {
		return err
	}
	if reply.StatusCode != http.StatusOK {
		return errors.New(oneLine(errors.New(strings.TrimSpace(string(text)))))
	}
	return nil
}

// explainProbe returns what other commands say of a server that was reached and does not speak as its endpoint
// says, since they know what to do about it. Of other failures it returns err.
func (n *connection) explainProbe(ctx context.Context, p *program, endpoint string, err error) error {
	if network := new(net.OpError); ctx.Err() != nil || errors.As(err, &network) && network.Op == "dial" {
		return err
	}
	one := *n
	one.endpoints = []string{endpoint}
	ck, wrong := one.connect(p)
	if wrong != nil {
		return err
	}
	defer ck.Close()
	if _, why := ck.Status(ctx, endpoint); errors.Is(why, clerk.ErrTLS) || errors.Is(why, clerk.ErrPeerPort) {
		return bare(why)
	}
	return err
}
