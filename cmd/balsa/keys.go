package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

const connectionHelp = `
The servers are those of --endpoints or $BALSA_ENDPOINTS; without them, those of
"balsa dev" or of a "balsa serve" with its default addresses.

`

func (p *program) put() *cobra.Command {
	var n connection
	var out output
	var version uint64
	var lease string
	c := &cobra.Command{
		Use:        "put KEY VALUE",
		SuggestFor: []string{"set", "write"},
		Short:      "Set the value of a key",
		Long: `Set the value of a key. VALUE - is read from the standard input.

With --version the key is set only if it is at that version: 0 means that it must
not exist. Each put adds one to the version of its key, and the new one is printed.
With --lease the key is deleted when the lease ends; without it the key lives until it
is deleted, even if it hung on a lease before.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitVersion, exitMaybe, exitUnavailable, exitUnreported),
		Example: `  balsa put greeting hello
  balsa put greeting bonjour --version 1   # only if nobody changed it since
  balsa put lock me --version 0            # only if it does not exist
  balsa put job/7 "$HOSTNAME" --lease 694d5765fc71500b
  balsa put image - < cat.png`,
		Args: usageArgs(cobra.ExactArgs(2)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().Uint64Var(&version, "version", 0, "only if the key is at this version; 0: only if it does not exist")
	c.Flags().StringVar(&lease, "lease", "", "id of the lease with which the key ends")
	c.RunE = func(c *cobra.Command, args []string) error {
		key, value := args[0], []byte(args[1])
		var options []clerk.PutOption
		if c.Flags().Changed("lease") {
			id, err := parseLease(lease)
			if err != nil {
				return fmt.Errorf("--lease: %w", err)
			}
			options = append(options, clerk.WithLease(id))
		}
		if args[1] == "-" {
			var err error
			if value, err = io.ReadAll(io.LimitReader(p.stdin, maxValue+1)); err != nil {
				return fmt.Errorf("read value: %w", err)
			}
			if len(value) > maxValue {
				return usageError("put %q: too large: the value has more than %d bytes, the most that a server may take", short(key), maxValue)
			}
		}
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		var kv clerk.KV
		if c.Flags().Changed("version") {
			kv, err = ck.Put(ctx, key, value, version, options...)
		} else {
			kv, err = ck.Set(ctx, key, value, options...)
		}
		if err != nil {
			return n.explain("put", key, err)
		}
		if out.isJSON() {
			return writeJSON(p.stdout, jsonOf(kv, false))
		}
		_, err = fmt.Fprintf(p.stdout, "version=%d revision=%d\n", kv.Version, kv.ModRevision)
		return err
	}
	return c
}
