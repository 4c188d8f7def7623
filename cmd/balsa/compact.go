package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

func (p *program) compact() *cobra.Command {
	var n connection
	var out output
	var keep uint64
	c := &cobra.Command{
		Use:   "compact REVISION",
		Short: "Forget the history below a revision",
		Long: `Forget the history below a revision, on all servers: what was replaced or deleted
before it. What was current at REVISION or later can still be read.

With --keep N in place of REVISION, the newest N revisions can still be read. It is no
error then that nothing is left to forget, so that it can be run again and again.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported, exitCompacted) + `
That REVISION is forgotten already is 10; that it is not reached yet is 1.`,
		Example: `  balsa compact 120000
  balsa compact --keep 10000`,
		Args: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("keep") {
				if len(args) > 0 {
					return usageError("--keep is in place of REVISION, and got %q, too", args[0])
				}
				return nil
			}
			return usageArgs(cobra.ExactArgs(1))(c, args)
		},
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().Uint64Var(&keep, "keep", 0, "how many of the newest revisions can still be read, at least 1")
	c.RunE = func(c *cobra.Command, args []string) error {
		revision, err := compactedRevision(args, keep)
		if err != nil {
			return err
		}
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		if len(args) > 0 {
			if err := ck.Compact(ctx, revision); err != nil {
				return n.explainCall("compact "+args[0], err)
			}
			return out.printCompacted(p, revision, true)
		}
		revision, done, err := compactKeeping(ctx, ck, keep)
		if err != nil {
			return n.explainCall(fmt.Sprintf("compact --keep %d", keep), err)
		}
		return out.printCompacted(p, revision, done)
	}
	return c
}

// compactedRevision reads REVISION, if it is there, and checks --keep, if that is.
func compactedRevision(args []string, keep uint64) (uint64, error) {
	if len(args) == 0 {
		if keep == 0 {
			return 0, usageError("--keep is 0; the newest revision can always be read, so it must be at least 1")
		}
		return 0, nil
	}
	revision, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil || revision == 0 {
		return 0, usageError("REVISION is %q; it must be a whole number above 0", args[0])
	}
	return revision, nil
}

// compactKeeping compacts so that the newest revisions can still be read. done is false if there was
// nothing to forget.
func compactKeeping(ctx context.Context, ck *clerk.Clerk, keep uint64) (revision uint64, done bool, err error) {
	now, err := ck.Txn(ctx).Then(clerk.OpRange(clerk.Prefix(""), clerk.Limit(1), clerk.KeysOnly())).Commit()
	if err != nil {
		return 0, false, err
	}
	if now.Revision <= keep {
		return 1, false, nil // the first revision is that of the empty store
	}
	revision = now.Revision - keep + 1
	err = ck.Compact(ctx, revision)
	if errors.Is(err, clerk.ErrCompacted) {
		return revision, false, nil
	}
	return revision, err == nil, err
}

// printCompacted tells from which revision on the history can be read.
func (o *output) printCompacted(p *program, revision uint64, done bool) error {
	if o.isJSON() {
		return writeJSON(p.stdout, struct {
			Revision  uint64 `json:"revision"`
			Compacted bool   `json:"compacted"`
		}{revision, done})
	}
	text := fmt.Sprintf("compacted at revision %d", revision)
	if !done {
		text = fmt.Sprintf("nothing to forget below revision %d", revision)
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}
