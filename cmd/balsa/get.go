package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

// getOptions are the flags of get.
type getOptions struct {
	connection          connection
	output              output
	consistency         string
	verbose, raw        bool
	prefix, fromKey     bool
	keysOnly, countOnly bool
	limit, revision     uint64
}

func (p *program) get() *cobra.Command {
	var o getOptions
	c := &cobra.Command{
		Use:        "get KEY",
		SuggestFor: []string{"read", "cat"},
		Short:      "Print the value of a key, or of many keys",
		Long: `Print the value of a key and a line feed, or with --raw the value alone. With -v, its
version and revisions go to the standard error, so that the standard output is still
the value.

With --prefix it prints all keys that begin with KEY, and with --from-key all keys from
KEY on, in their order and as they were at one revision: each key and its value on lines
of their own, or with -o json an object on a line for each key. Without KEY it prints all
keys. It reads page by page, however many there are, and --timeout is for each page.

--consistency says how fresh the value must be:
  linearizable  reflects every write acknowledged before; trusts no clock (default)
  lease         as fresh, if the servers' clocks run at about the same rate; saves a
                round of messages where the servers run with --lease-reads
  local         what the server that is asked has; may be old, but works without a majority
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitUnavailable, exitUnreported, exitCompacted) + `
That no key has a prefix is no error.`,
		Example: `  balsa get greeting
  balsa get greeting -o json
  balsa get greeting --rev 12              # as it was at revision 12
  balsa get greeting --consistency local
  balsa get --prefix users/ --limit 10
  balsa get --prefix users/ --count-only`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && (o.prefix || o.fromKey) {
				return nil
			}
			return usageArgs(cobra.ExactArgs(1))(c, args)
		},
	}
	o.addFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		key := ""
		if len(args) > 0 {
			key = args[0]
		}
		if err := o.check(); err != nil {
			return err
		}
		if o.many() {
			return p.getMany(c.Context(), &o, key)
		}
		return p.getOne(c.Context(), &o, key)
	}
	return c
}

func (o *getOptions) addFlags(c *cobra.Command) {
	o.connection.addFlags(c)
	o.output.addFlag(c)
	f := c.Flags()
	f.StringVar(&o.consistency, "consistency", "linearizable", "linearizable, lease or local")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "also print version and revisions, to the standard error")
	f.BoolVar(&o.raw, "raw", false, "print no line feed after the value")
	f.BoolVar(&o.prefix, "prefix", false, "all keys that begin with KEY")
	f.BoolVar(&o.fromKey, "from-key", false, "all keys from KEY on")
	f.Uint64Var(&o.limit, "limit", 0, "of --prefix and --from-key: how many keys at most; 0: all")
	f.Uint64Var(&o.revision, "rev", 0, "what there was at this revision of the store; 0: what there is")
	f.BoolVar(&o.keysOnly, "keys-only", false, "print no values")
	f.BoolVar(&o.countOnly, "count-only", false, "print only how many keys there are")
	c.RegisterFlagCompletionFunc("consistency",
		cobra.FixedCompletions([]string{"linearizable", "lease", "local"}, cobra.ShellCompDirectiveNoFileComp))
}

// many tells whether something else than the value of one key is to be printed.
func (o *getOptions) many() bool { return o.prefix || o.fromKey || o.keysOnly || o.countOnly }

// check refuses flags that mean nothing together.
func (o *getOptions) check() error {
	switch {
	case o.prefix && o.fromKey:
		return usageError("--prefix and --from-key do not go together")
	case o.keysOnly && o.countOnly:
		return usageError("--keys-only and --count-only do not go together")
	case o.limit > 0 && !o.prefix && !o.fromKey:
		return usageError("--limit needs --prefix or --from-key")
	case o.limit > 0 && o.countOnly:
		return usageError("--limit and --count-only do not go together")
	case o.many() && (o.raw || o.verbose):
		return usageError("--raw and --verbose are for the value of one key; -o json prints versions and revisions, too")
	default:
		return nil
	}
}

// reads are the options of the read itself.
func (o *getOptions) reads() ([]clerk.ReadOption, error) {
	options, err := readOptions(o.consistency)
	if o.revision > 0 {
		options = append(options, clerk.AtRevision(o.revision))
	}
	return options, err
}

func (p *program) getOne(ctx context.Context, o *getOptions, key string) error {
	options, err := o.reads()
	if err != nil {
		return err
	}
	ck, ctx, cancel, err := o.connection.open(ctx, p)
	if err != nil {
		return err
	}
	defer ck.Close()
	defer cancel()
	kv, err := ck.Get(ctx, key, options...)
	if err != nil {
		return o.connection.explain("get", key, err)
	}
	if o.output.isJSON() {
		return writeJSON(p.stdout, jsonOf(kv, true))
	}
	if o.verbose {
		lease := ""
		if kv.Lease != 0 {
			lease = " lease=" + leaseText(kv.Lease)
		}
		if err := p.note("version=%d create_revision=%d mod_revision=%d revision=%d%s",
			kv.Version, kv.CreateRevision, kv.ModRevision, kv.Revision, lease); err != nil {
			return unreported(err)
		}
	}
	value := kv.Value
	if !o.raw {
		value = append(value, '\n')
	}
	_, err = p.stdout.Write(value)
	return err
}

func (p *program) getMany(ctx context.Context, o *getOptions, key string) error {
	reads, err := o.reads()
	if err != nil {
		return err
	}
	ck, err := o.connection.connect(p)
	if err != nil {
		return err
	}
	defer ck.Close()
	span := clerk.Key(key)
	switch {
	case o.prefix:
		span = clerk.Prefix(key)
	case o.fromKey:
		span = clerk.FromKey(key)
	}
	if o.countOnly {
		return p.count(ctx, o, ck, key, span, reads)
	}
	options := []clerk.RangeOption{clerk.Limit(o.limit)}
	for _, option := range reads {
		options = append(options, option)
	}
	if o.keysOnly {
		options = append(options, clerk.KeysOnly())
	}
	found, err := p.list(o.connection.scan(ctx, ck, span, options), o.output.lines(!o.keysOnly))
	if err == nil && found == 0 && !o.prefix && !o.fromKey {
		err = clerk.ErrNoKey
	}
	return o.connection.explain("get", key, err)
}

func (p *program) count(ctx context.Context, o *getOptions, ck *clerk.Clerk, key string, span clerk.Span, reads []clerk.ReadOption) error {
	ctx, cancel := context.WithTimeout(ctx, o.connection.timeout)
	defer cancel()
	n, err := ck.Count(ctx, span, reads...)
	if err != nil {
		return o.connection.explain("count", key, err)
	}
	if o.output.isJSON() {
		return writeJSON(p.stdout, countJSON{n})
	}
	_, err = fmt.Fprintln(p.stdout, n)
	return err
}

// countJSON is a number of keys in the format of -o json.
type countJSON struct {
	Count int64 `json:"count"`
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
