package main

import (
	"io"
	"iter"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

func (p *program) export() *cobra.Command {
	var n connection
	var out output
	var revision uint64
	c := &cobra.Command{
		Use:        "export [PREFIX]",
		SuggestFor: []string{"dump"},
		Short:      "Print keys and values as JSON lines",
		Long: `Print all keys, or those that begin with PREFIX, with their values, versions and
revisions, as they were at one revision: a JSON object on a line for each key. "balsa
import" reads it. Keys and values that are not UTF-8 come as key_base64 and
value_base64.

It reads page by page, however many there are, and --timeout is for each page. Progress
and at the end the number of keys go to the standard error; the latter with -o json as
JSON. An export is whole if the exit code is 0.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported, exitCompacted),
		Example: `  balsa export > all.jsonl
  balsa export users/ --rev 120000 | gzip > users.jsonl.gz`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().Lookup("output").Usage = "format of the line about the whole: text or json"
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
		done := &progress{verb: "exported"}
		err = p.exportKeys(n.scan(c.Context(), ck, clerk.Prefix(prefix), []clerk.RangeOption{clerk.AtRevision(revision)}), done)
		if err != nil || p.result.failed != nil {
			return n.explain("export", prefix, err)
		}
		if out.isJSON() {
			return writeJSON(p.stderr, countJSON{done.keys.Load()})
		}
		return p.note("%s", done)
	}
	return c
}

// exportKeys writes the lines, and tells how far it is until then.
func (p *program) exportKeys(keys iter.Seq2[clerk.KV, error], done *progress) error {
	if !p.terminal(p.result).IsSeen() { // who looks at the keys sees how far it is
		defer p.begin(false, done.soFar).end()
	}
	_, err := p.list(keys, func(w io.Writer, kv clerk.KV) error {
		line := jsonOf(kv, true)
		line.Revision = 0 // that of the read, not of the key
		if err := writeJSON(w, line); err != nil {
			return err
		}
		done.add(kv.Key, kv.Value)
		return nil
	})
	return err
}
