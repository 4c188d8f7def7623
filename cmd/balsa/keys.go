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
	c := &cobra.Command{
		Use:        "put KEY VALUE",
		SuggestFor: []string{"set", "write"},
		Short:      "Set the value of a key",
		Long: `Set the value of a key. VALUE - is read from the standard input.

With --version the key is set only if it is at that version: 0 means that it must
not exist. Each put adds one to the version of its key, and the new one is printed.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitVersion, exitMaybe, exitUnavailable, exitUnreported),
		Example: `  balsa put greeting hello
  balsa put greeting bonjour --version 1   # only if nobody changed it since
  balsa put lock me --version 0            # only if it does not exist
  balsa put image - < cat.png`,
		Args: usageArgs(cobra.ExactArgs(2)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().Uint64Var(&version, "version", 0, "only if the key is at this version; 0: only if it does not exist")
	c.RunE = func(c *cobra.Command, args []string) error {
		key, value := args[0], []byte(args[1])
		if args[1] == "-" {
			var err error
			if value, err = io.ReadAll(p.stdin); err != nil {
				return fmt.Errorf("read value: %w", err)
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
			kv, err = ck.Put(ctx, key, value, version)
		} else {
			kv, err = ck.Set(ctx, key, value)
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

func (p *program) get() *cobra.Command {
	var n connection
	var out output
	var consistency string
	var verbose, raw bool
	c := &cobra.Command{
		Use:        "get KEY",
		SuggestFor: []string{"read", "cat"},
		Short:      "Print the value of a key",
		Long: `Print the value of a key and a line feed, or with --raw the value alone. With -v, its
version and revisions go to the standard error, so that the standard output is still
the value.

--consistency says how fresh the value must be:
  linearizable  reflects every write acknowledged before; trusts no clock (default)
  lease         as fresh, if the servers' clocks run at about the same rate; saves a
                round of messages where the servers run with --lease-reads
  local         what the server that is asked has; may be old, but works without a majority
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitUnavailable, exitUnreported),
		Example: `  balsa get greeting
  balsa get greeting -o json
  balsa get greeting --consistency local`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().StringVar(&consistency, "consistency", "linearizable", "linearizable, lease or local")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "also print version and revisions, to the standard error")
	c.Flags().BoolVar(&raw, "raw", false, "print no line feed after the value")
	c.RegisterFlagCompletionFunc("consistency",
		cobra.FixedCompletions([]string{"linearizable", "lease", "local"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		options, err := readOptions(consistency)
		if err != nil {
			return err
		}
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		kv, err := ck.Get(ctx, args[0], options...)
		if err != nil {
			return n.explain("get", args[0], err)
		}
		if out.isJSON() {
			return writeJSON(p.stdout, jsonOf(kv, true))
		}
		if verbose {
			if _, err := fmt.Fprintf(p.stderr, "version=%d create_revision=%d mod_revision=%d revision=%d\n",
				kv.Version, kv.CreateRevision, kv.ModRevision, kv.Revision); err != nil {
				return unreported(err)
			}
		}
		value := kv.Value
		if !raw {
			value = append(value, '\n')
		}
		_, err = p.stdout.Write(value)
		return err
	}
	return c
}

func readOptions(consistency string) ([]clerk.ReadOption, error) {
	switch consistency {
	case "linearizable":
		return nil, nil
	case "lease":
		return []clerk.ReadOption{clerk.ByLease()}, nil
	case "local":
		return []clerk.ReadOption{clerk.Local()}, nil
	default:
		return nil, usageError("--consistency is %q; it must be linearizable, lease or local", consistency)
	}
}

func (p *program) del() *cobra.Command {
	var n connection
	var out output
	var version uint64
	c := &cobra.Command{
		Use:        "del KEY",
		Aliases:    []string{"delete"},
		SuggestFor: []string{"rm", "remove"},
		Short:      "Delete a key",
		Long: `Delete a key. With --version it is deleted only if it is at that version.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitVersion, exitMaybe, exitUnavailable, exitUnreported),
		Example: `  balsa del greeting
  balsa del greeting --version 2   # only if nobody changed it since`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().Uint64Var(&version, "version", 0, "only if the key is at this version")
	c.RunE = func(c *cobra.Command, args []string) error {
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		key := args[0]
		if c.Flags().Changed("version") {
			err = ck.Delete(ctx, key, version)
		} else {
			err = ck.Remove(ctx, key)
		}
		if err != nil {
			return n.explain("del", key, err)
		}
		if out.isJSON() {
			text, encoded := textOrBase64([]byte(key))
			return writeJSON(p.stdout, struct {
				Key       *string `json:"key,omitempty"`
				KeyBase64 string  `json:"key_base64,omitempty"`
				Deleted   bool    `json:"deleted"`
			}{text, encoded, true})
		}
		_, err = fmt.Fprintln(p.stdout, "deleted")
		return err
	}
	return c
}
