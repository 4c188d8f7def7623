package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"balsa.example/clerk/lock"
)

func (p *program) lock() *cobra.Command {
	var n connection
	var out output
	var h holding
	c := &cobra.Command{
		Use:        "lock [flags] NAME [CMD [ARG...]]",
		SuggestFor: []string{"mutex", "flock"},
		Short:      "Run a command while a lock is held",
		Long: `Wait for a lock, and run CMD while it is held. Without CMD it is held until Ctrl-C, and its
token is printed. Flags come before NAME; all that follows CMD is CMD's.

The lock is held on a lease. If this program is killed, or reaches no server for --ttl, the
lock ends. It is told of that in time, ends CMD with SIGTERM, and kills it a second later,
with all that CMD has started (but where the standard input is a terminal: CMD alone).

Still no lock can stop a program that was suspended and wakes up too late. So CMD finds a
fencing token in its environment, $BALSA_LOCK_TOKEN: a number that is higher for each holder
than for all before. What CMD writes to should refuse lower ones than it has seen. In balsa,
that is a transaction with this condition:
  if create("$BALSA_LOCK_KEY") = $BALSA_LOCK_TOKEN then ...
$BALSA_LOCK_NAME and $BALSA_LOCK_LEASE are set as well.

The exit code is that of CMD (128 and the signal that ended it; 126: it cannot be executed;
127: it does not exist), or one of the following, with a line on the standard error. --timeout
bounds how long it tries to reach a server at first.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported, exitLost, exitHeld),
		Example: `  balsa lock backup tar -cf /backup/all.tar /data
  balsa lock --try nightly ./report.sh          # not if another host does it
  balsa lock --wait 10s deploy sh -c 'git pull && make install'
  balsa lock maintenance                        # until Ctrl-C`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().SetInterspersed(false)
	c.Flags().DurationVar(&h.ttl, "ttl", lock.DefaultTTL, "how long the lock outlives this program, or its connection to the servers")
	c.Flags().DurationVar(&h.wait, "wait", 0, "how long to wait for the lock; 0: as long as it takes")
	c.Flags().BoolVar(&h.try, "try", false, "do not wait for the lock")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := h.check(); err != nil {
			return err
		}
		return p.withLock(c.Context(), &n, &out, &h, args[0], args[1:])
	}
	return c
}

// withLock runs a command, or waits, while it holds a lock.
func (p *program) withLock(ctx context.Context, n *connection, out *output, h *holding, name string, args []string) error {
	ck, err := n.connect(p)
	if err != nil {
		return err
	}
	defer ck.Close()
	what := fmt.Sprintf("lock %q", short(name))
	if err := p.reach(ctx, n, ck, what); err != nil {
		return err
	}
	m := lock.NewMutex(ck, name, lock.TTL(h.ttl), lock.Value(holder()))
	take := m.Lock
	if h.try {
		take = m.TryLock
	}
	if err := h.acquire(ctx, p, n, what, take); err != nil {
		return err
	}
	lost := m.Lost()
	if held := (heldJSON{name, m.Key(), m.Token(), leaseText(m.Lease())}); len(args) == 0 {
		if err = p.printHeld(out, held); err == nil {
			until(ctx, lost)
		}
	} else {
		err = p.runHeld(ctx, args, what, lost, []string{
			"BALSA_LOCK_NAME=" + name, "BALSA_LOCK_KEY=" + held.Key, "BALSA_LOCK_LEASE=" + held.Lease,
			fmt.Sprintf("BALSA_LOCK_TOKEN=%d", held.Token),
		})
	}
	if gone := p.release(ctx, n, what, m.Unlock); gone != nil {
		return gone
	}
	return err
}
