package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

func (p *program) leaseKeepAlive() *cobra.Command {
	var n connection
	var out output
	var once bool
	c := &cobra.Command{
		Use:     "keep-alive ID",
		Aliases: []string{"keepalive"},
		Short:   "Keep a lease alive",
		Long: `Keep a lease alive until Ctrl-C, or once. Each time it prints how long the lease will live.
It ends when the lease has ended, or when no server was reached in its time to live.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitUnavailable, exitUnreported),
		Example: `  balsa lease keep-alive 694d5765fc71500b
  balsa lease keep-alive 694d5765fc71500b --once`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().BoolVar(&once, "once", false, "only once")
	c.RunE = func(c *cobra.Command, args []string) error {
		id, err := parseLease(args[0])
		if err != nil {
			return err
		}
		ck, err := n.connect(p)
		if err != nil {
			return err
		}
		defer ck.Close()
		for left := n.timeout; ; {
			ttl, err := keepAlive(c.Context(), ck, id, left)
			switch {
			case c.Context().Err() != nil:
				return nil
			case err != nil:
				return n.explainCall("lease keep-alive "+args[0], err)
			}
			if err := p.printLease(&out, leaseJSON{ID: leaseText(id), TTL: seconds(ttl)}); err != nil || once {
				return err
			}
			select {
			case <-time.After(ttl / 3):
			case <-c.Context().Done():
				return nil
			}
			left = ttl - ttl/3
		}
	}
	return c
}

// keepAlive keeps a lease alive once, and tries that for so long at most.
func keepAlive(ctx context.Context, ck *clerk.Clerk, id int64, atMost time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	return ck.KeepAlive(ctx, id)
}
