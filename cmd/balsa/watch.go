package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"balsa.example/clerk"
)

// watchFlags say what is watched.
type watchFlags struct {
	prefix, fromKey   bool
	revision          uint64
	prev, progress    bool
	noPuts, noDeletes bool
	command           string
}

func (w *watchFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&w.prefix, "prefix", false, "all keys that begin with KEY; without KEY: all keys")
	f.BoolVar(&w.fromKey, "from-key", false, "all keys from KEY on")
	f.Uint64Var(&w.revision, "rev", 0, "begin with the events of this revision; 1: all that ever happened; 0: from now on")
	f.BoolVar(&w.prev, "prev", false, "also what the key held before")
	f.BoolVar(&w.progress, "progress", false, "also print from time to time up to which revision all is told, at first where it begins")
	f.BoolVar(&w.noPuts, "no-put", false, "no events of puts")
	f.BoolVar(&w.noDeletes, "no-delete", false, "no events of deletes")
	f.StringVar(&w.command, "exec", "", "run this command, by sh -c, for each event, in place of printing the event")
}

// span returns what is watched.
func (w *watchFlags) span(args []string) (clerk.Span, error) {
	switch {
	case w.prefix && w.fromKey:
		return clerk.Span{}, usageError("--prefix and --from-key exclude each other")
	case w.prefix && len(args) == 0:
		return clerk.Prefix(""), nil
	case len(args) == 0:
		return clerk.Span{}, usageError("watch needs a KEY, or --prefix for all keys")
	case w.prefix:
		return clerk.Prefix(args[0]), nil
	case args[0] == "":
		return clerk.Span{}, usageError("the key is empty")
	case w.fromKey:
		return clerk.FromKey(args[0]), nil
	}
	return clerk.Key(args[0]), nil
}

func (w *watchFlags) options() (options []clerk.WatchOption) {
	for _, o := range []struct {
		set    bool
		option clerk.WatchOption
	}{
		{w.revision > 0, clerk.Since(w.revision)},
		{w.prev, clerk.WithPrev()},
		{w.progress, clerk.Progress()},
		{w.noPuts, clerk.NoPuts()},
		{w.noDeletes, clerk.NoDeletes()},
	} {
		if o.set {
			options = append(options, o.option)
		}
	}
	return options
}

func (p *program) watch() *cobra.Command {
	var n connection
	var out output
	var w watchFlags
	c := &cobra.Command{
		Use:        "watch [KEY]",
		SuggestFor: []string{"observe", "subscribe", "follow"},
		Short:      "Print what happens to keys",
		Long: `Print what happens to a key, or to all keys with a prefix, until Ctrl-C: each event once, in
order, and none missing, whatever servers fail. With -o json each line has all events of
one revision.

With --exec a command is run for each event, one at a time, in order. The event is JSON on its
standard input, and in its environment: $BALSA_EVENT_TYPE (put or delete),
$BALSA_EVENT_KEY, $BALSA_EVENT_VALUE, $BALSA_EVENT_VERSION, $BALSA_EVENT_REVISION, and
with --prev $BALSA_EVENT_PREV_VALUE. What the environment cannot hold is left out there: a
value of more than 64 KiB, or with a zero byte. If the command fails, the watch ends.

A watch ends by itself only if what it has not told yet is compacted. Then it says with
which revision the history begins. --timeout bounds how long it tries to reach a server at
first.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported, exitCompacted),
		Example: `  balsa watch greeting
  balsa watch --prefix users/ --prev -o json
  balsa watch --prefix config/ --rev 1                  # all that ever happened
  balsa watch config --exec 'echo "$BALSA_EVENT_VALUE" > app.conf && systemctl reload app'`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	w.add(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		span, err := w.span(args)
		if err != nil {
			return err
		}
		ck, err := n.connect(p)
		if err != nil {
			return err
		}
		defer ck.Close()
		return p.follow(c.Context(), ck, &n, &out, &w, span)
	}
	return c
}

// follow prints or executes what happens to a span, until ctx ends.
func (p *program) follow(ctx context.Context, ck *clerk.Clerk, n *connection, out *output, w *watchFlags, span clerk.Span) error {
	err := p.reach(ctx, n, ck, "watch")
	if err != nil {
		return interrupted(ctx, err)
	}
	for changes, err := range ck.Watch(ctx, span, w.options()...) {
		var compacted *clerk.CompactedError
		switch {
		case errors.As(err, &compacted):
			return withCode(exitCompacted, "watch: what was to be told next is compacted; the history begins with --rev %d", compacted.Revision)
		case err != nil:
			return interrupted(ctx, n.explainCall("watch", err))
		case w.command != "":
			err = p.hook(ctx, w.command, changes)
		case out.isJSON():
			err = writeJSON(p.stdout, changesOf(changes))
		default:
			_, err = io.WriteString(p.stdout, changesText(changes))
		}
		if err != nil {
			return interrupted(ctx, err)
		}
	}
	return nil
}

// interrupted is the error of a command that goes on until Ctrl-C, which is no failure.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// changesText has a line for each event of a revision.
func changesText(c clerk.Changes) string {
	if len(c.Events) == 0 {
		return fmt.Sprintf("progress revision=%d\n", c.Revision)
	}
	var s strings.Builder
	for _, e := range c.Events {
		if e.Deleted {
			fmt.Fprintf(&s, "delete %q revision=%d", e.Key, c.Revision)
		} else {
			fmt.Fprintf(&s, "put %q = %s version=%d revision=%d", e.Key, strconv.Quote(string(e.Value)), e.Version, c.Revision)
		}
		if e.Prev != nil {
			fmt.Fprintf(&s, " prev=%s", strconv.Quote(string(e.Prev.Value)))
		}
		s.WriteByte('\n')
	}
	return s.String()
}

// changesJSON is all events of a revision in the format of -o json. Without events it says that
// all up to the revision has been told.
type changesJSON struct {
	Revision uint64      `json:"revision"`
	Events   []eventJSON `json:"events"`
}

type eventJSON struct {
	Type string `json:"type"` // put or delete
	keyJSON
	Prev *keyJSON `json:"prev,omitempty"`
}

func changesOf(c clerk.Changes) changesJSON {
	j := changesJSON{Revision: c.Revision, Events: []eventJSON{}}
	for _, e := range c.Events {
		j.Events = append(j.Events, eventOf(e))
	}
	return j
}

func eventOf(e clerk.Event) eventJSON {
	kv := e.KV
	kv.Revision = 0
	j := eventJSON{Type: "put", keyJSON: jsonOf(kv, !e.Deleted)}
	if e.Deleted {
		j.Type = "delete"
	}
	if e.Prev != nil {
		prev := *e.Prev
		prev.Revision = 0
		before := jsonOf(prev, true)
		j.Prev = &before
	}
	return j
}
