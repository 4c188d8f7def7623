package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

// delOptions are the flags of del.
type delOptions struct {
	connection  connection
	output      output
	version     uint64
	versioned   bool // the version was given
	prefix, all bool
}

func (p *program) del() *cobra.Command {
	var o delOptions
	c := &cobra.Command{
		Use:        "del KEY",
		Aliases:    []string{"delete"},
		SuggestFor: []string{"rm", "remove"},
		Short:      "Delete a key, or many keys",
		Long: `Delete a key. With --version it is deleted only if it is at that version.

With --prefix all keys that begin with KEY are deleted, at once and without a question,
and their number is printed. An empty KEY would be all keys: that takes --all.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitVersion, exitMaybe, exitUnavailable, exitUnreported) + `
That no key has a prefix is no error.`,
		Example: `  balsa del greeting
  balsa del greeting --version 2   # only if nobody changed it since
  balsa del --prefix users/        # deleted 12
  balsa del --all                  # all keys there are`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && o.all {
				return nil
			}
			return usageArgs(cobra.ExactArgs(1))(c, args)
		},
	}
	o.connection.addFlags(c)
	o.output.addFlag(c)
	c.Flags().Uint64Var(&o.version, "version", 0, "only if the key is at this version")
	c.Flags().BoolVar(&o.prefix, "prefix", false, "all keys that begin with KEY")
	c.Flags().BoolVar(&o.all, "all", false, "all keys there are")
	c.RunE = func(c *cobra.Command, args []string) error {
		key := ""
		if len(args) > 0 {
			key = args[0]
		}
		o.versioned = c.Flags().Changed("version")
		if err := o.check(key); err != nil {
			return err
		}
		ck, ctx, cancel, err := o.connection.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		if o.prefix || o.all {
			return p.delMany(ctx, &o, ck, key)
		}
		return p.delOne(ctx, &o, ck, key)
	}
	return c
}

// check refuses what would delete more than was meant.
func (o *delOptions) check(key string) error {
	switch {
	case o.all && key != "":
		return usageError("--all deletes all keys, not only %q; without it, --prefix deletes those that begin so", short(key))
	case o.versioned && (o.prefix || o.all):
		return usageError("--version is for one key")
	case o.prefix && key == "" && !o.all:
		return usageError("an empty prefix is that of all keys; --all deletes them")
	default:
		return nil
	}
}

func (p *program) delOne(ctx context.Context, o *delOptions, ck *clerk.Clerk, key string) (err error) {
	if o.versioned {
		err = ck.Delete(ctx, key, o.version)
	} else {
		err = ck.Remove(ctx, key)
	}
	if err != nil {
		return o.connection.explain("del", key, err)
	}
	if o.output.isJSON() {
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

func (p *program) delMany(ctx context.Context, o *delOptions, ck *clerk.Clerk, prefix string) error {
	n, err := ck.DeleteRange(ctx, clerk.Prefix(prefix))
	if err != nil {
		return o.connection.explain("del", prefix, err)
	}
	if o.output.isJSON() {
		text, encoded := textOrBase64([]byte(prefix))
		return writeJSON(p.stdout, struct {
			Prefix       *string `json:"prefix,omitempty"`
			PrefixBase64 string  `json:"prefix_base64,omitempty"`
			countJSON
		}{text, encoded, countJSON{n}})
	}
	_, err = fmt.Fprintln(p.stdout, "deleted", n)
	return err
}
