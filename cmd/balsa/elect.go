package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
	"balsa.example/clerk/election"
	"balsa.example/clerk/lock"
)

func (p *program) elect() *cobra.Command {
	var n connection
	var out output
	var h holding
	var listen bool
	c := &cobra.Command{
		Use:        "elect NAME VALUE",
		SuggestFor: []string{"election", "campaign", "leader"},
		Short:      "Lead, or see who leads",
		Long: `Campaign in an election: wait until this program leads, print its token, and lead until
Ctrl-C. VALUE is what others see of it. The token is a number that is higher for each leader
than for all before: what leaders write to should refuse lower ones than it has seen.

With --listen, print the present leader, and each new one, until Ctrl-C. One that leads for
a very short time may be left out.

The lead is held on a lease, as a lock is: see "balsa lock --help". --timeout bounds how long
it tries to reach a server at first.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported, exitLost, exitHeld),
		Example: `  balsa elect scheduler "$HOSTNAME"
  balsa elect scheduler --listen
  balsa elect scheduler --listen -o json`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().DurationVar(&h.ttl, "ttl", lock.DefaultTTL, "how long the lead outlives this program, or its connection to the servers")
	c.Flags().DurationVar(&h.wait, "wait", 0, "how long to wait for the lead; 0: as long as it takes")
	c.Flags().BoolVar(&listen, "listen", false, "only print who leads")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case listen && len(args) != 1:
			return usageError("with --listen, elect takes no VALUE")
		case !listen && len(args) != 2:
			return usageError("elect needs a NAME and a VALUE, or --listen")
		}
		if err := h.check(); err != nil {
			return err
		}
		ck, err := n.connect(p)
		if err != nil {
			return err
		}
		defer ck.Close()
		what := fmt.Sprintf("elect %q", short(args[0]))
		if err := p.reach(c.Context(), &n, ck, what); err != nil {
			return err
		}
		if listen {
			return p.observe(c.Context(), ck, &n, &out, args[0])
		}
		return p.lead(c.Context(), ck, &n, &out, &h, args[0], args[1])
	}
	return c
}

// lead campaigns, and leads until ctx ends.
func (p *program) lead(ctx context.Context, ck *clerk.Clerk, n *connection, out *output, h *holding, name, value string) error {
	e := election.New(ck, name, lock.TTL(h.ttl))
	what := fmt.Sprintf("elect %q", short(name))
	campaign := func(ctx context.Context) error { return e.Campaign(ctx, []byte(value)) }
	if err := h.acquire(ctx, p, n, what, campaign); err != nil {
		return err
	}
	lost := e.Lost()
	err := p.printHeld(out, heldJSON{Name: name, Key: e.Key(), Token: e.Token()})
	if err == nil {
		until(ctx, lost)
	}
	if gone := p.release(ctx, n, what, e.Resign); gone != nil {
		return gone
	}
	return err
}

// observe prints the leaders, until ctx ends.
func (p *program) observe(ctx context.Context, ck *clerk.Clerk, n *connection, out *output, name string) error {
	for kv, err := range election.New(ck, name).Observe(ctx) {
		switch {
		case err != nil:
			return interrupted(ctx, n.explainCall(fmt.Sprintf("elect %q", short(name)), err))
		case out.isJSON():
			err = writeJSON(p.stdout, leaderJSON(name, kv))
		default:
			_, err = fmt.Fprintf(p.stdout, "%q token=%d\n", kv.Value, kv.CreateRevision)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
