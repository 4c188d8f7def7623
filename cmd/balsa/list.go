package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

func (p *program) ls() *cobra.Command {
	var n connection
	var out output
	var limit, revision uint64
	c := &cobra.Command{
		Use:        "ls [PREFIX]",
		SuggestFor: []string{"list", "keys", "dir"},
		Short:      "List keys",
		Long: `List all keys, or those that begin with PREFIX, one per line, in their order and as they
were at one revision. With -o json, an object on a line for each key, with its version
and revisions. It reads page by page, however many there are, and --timeout is for each
page.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported, exitCompacted) + `
That there are none is no error.`,
		Example: `  balsa ls
  balsa ls users/ --limit 100
  balsa ls users/ --rev 12 -o json   # as it was at revision 12`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().Uint64Var(&limit, "limit", 0, "how many keys at most; 0: all")
	c.Flags().Uint64Var(&revision, "rev", 0, "what there was at this revision of the store; 0: what there is")
	c.RunE = func(c *cobra.Command, args []string) error {
		prefix := ""
		if len(args) > 0 {
			prefix = args[0]
		}
		ck, err := n.connect(p)
		if err != nil {
			return err
		}
		defer ck.Close()
		options := []clerk.RangeOption{clerk.KeysOnly(), clerk.Limit(limit), clerk.AtRevision(revision)}
		_, err = p.list(n.scan(c.Context(), ck, clerk.Prefix(prefix), options), out.lines(false))
		return n.explain("ls", prefix, err)
	}
	return c
}

// scan reads the keys of a span. The timeout is for the time between two keys in which the servers
// are waited for, so that a span of any size can be read, and by a slow reader.
func (n *connection) scan(ctx context.Context, ck *clerk.Clerk, span clerk.Span, options []clerk.RangeOption) iter.Seq2[clerk.KV, error] {
	return func(yield func(clerk.KV, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		timer := time.AfterFunc(n.timeout, func() { cancel(context.DeadlineExceeded) })
		defer timer.Stop()
		for kv, err := range ck.Range(idleContext{ctx}, span, options...) {
			timer.Stop()
			if !yield(kv, err) {
				return
			}
			timer.Reset(n.timeout)
		}
	}
}

// idleContext is a context whose error is why it was cancelled.
type idleContext struct{ context.Context }

func (c idleContext) Err() error {
	if c.Context.Err() == nil {
		return nil
	}
	return context.Cause(c.Context)
}

// list prints keys as they come, and returns how many. An error of the output is for the program's
// result to tell.
func (p *program) list(keys iter.Seq2[clerk.KV, error], print func(io.Writer, clerk.KV) error) (printed int, err error) {
	w := bufio.NewWriterSize(p.stdout, 64<<10)
	defer w.Flush()
	for kv, err := range keys {
		if err != nil {
			return printed, err
		}
		if print(w, kv) != nil {
			return printed, nil
		}
		printed++
	}
	return printed, nil
}

// lines returns what prints one of many keys, with or without its value.
func (o *output) lines(withValue bool) func(io.Writer, clerk.KV) error {
	return func(w io.Writer, kv clerk.KV) error {
		if o.isJSON() {
			return writeJSON(w, jsonOf(kv, withValue))
		}
		_, err := io.WriteString(w, kv.Key+"\n")
		if err == nil && withValue {
			_, err = fmt.Fprintf(w, "%s\n", kv.Value)
		}
		return err
	}
}
