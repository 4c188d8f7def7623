package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

// leaseText is the id of a lease as people and scripts see it.
func leaseText(id int64) string { return fmt.Sprintf("%016x", id) }

// parseLease reads what leaseText wrote.
func parseLease(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 16, 64)
	if err != nil || id <= 0 {
		return 0, usageError(`%q is not the id of a lease: "balsa lease grant" and "balsa lease ls" print them, in hexadecimal`, text)
	}
	return id, nil
}

func (p *program) lease() *cobra.Command {
	c := &cobra.Command{
		Use:   "lease",
		Short: "Let keys expire",
		Long: `A lease lives for a time, and longer if it is kept alive. Keys that "balsa put --lease" hangs
on it are deleted when it ends.`,
		Args: subcommandOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.leaseGrant(), p.leaseRevoke(), p.leaseKeepAlive(), p.leaseTTL(), p.leaseList())
	return c
}

// leaseJSON is a lease in the format of -o json. Times are in seconds.
type leaseJSON struct {
	ID      string    `json:"id"`
	TTL     *float64  `json:"ttl,omitempty"`
	Granted float64   `json:"granted_ttl,omitempty"`
	Session bool      `json:"session,omitempty"`
	Keys    []keyName `json:"keys,omitempty"`
	More    bool      `json:"more,omitempty"`
	Revoked bool      `json:"revoked,omitempty"`
}

// keyName is a key without more.
type keyName struct {
	Key       *string `json:"key,omitempty"`
	KeyBase64 string  `json:"key_base64,omitempty"`
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

func (p *program) leaseGrant() *cobra.Command {
	var n connection
	var out output
	c := &cobra.Command{
		Use:   "grant TTL",
		Short: "Make a lease",
		Long: `Make a lease that lives for TTL, such as 30s or 5m; a number alone is seconds. Nobody keeps
it alive but "balsa lease keep-alive". The servers raise a TTL that is very short.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported),
		Example: `  balsa lease grant 30s
  L=$(balsa lease grant 30s -o json | jq -r .id); balsa put job/7 "$HOSTNAME" --lease $L`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ttl, err := parseTTL(args[0])
		if err != nil {
			return err
		}
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		lease, err := ck.Grant(ctx, ttl)
		if err != nil {
			return n.explainCall("lease grant", err)
		}
		return p.printLease(&out, leaseJSON{ID: leaseText(lease.ID()), TTL: seconds(lease.TTL())})
	}
	return c
}

// parseTTL reads a time to live.
func parseTTL(text string) (time.Duration, error) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		text = fmt.Sprintf("%ds", n)
	}
	ttl, err := time.ParseDuration(text)
	if err != nil || ttl <= 0 {
		return 0, usageError("%q is not a time to live: it must be above 0, such as 30s", text)
	}
	return ttl, nil
}

// printLease prints what is known of a lease on one line.
func (p *program) printLease(out *output, l leaseJSON) error {
	if out.isJSON() {
		return writeJSON(p.stdout, l)
	}
	text := "lease=" + l.ID
	if l.TTL != nil {
		text += fmt.Sprintf(" ttl=%gs", *l.TTL)
	}
	if l.Granted > 0 {
		text += fmt.Sprintf(" granted_ttl=%gs", l.Granted)
	}
	if l.Session {
		text += " session=true"
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}

func (p *program) leaseRevoke() *cobra.Command {
	var n connection
	var out output
	c := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a lease, and delete its keys",
		Long: `End a lease. All its keys are deleted, in one revision up to 1.9 GiB of them.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitMaybe, exitUnavailable, exitUnreported),
		Example: `  balsa lease revoke 694d5765fc71500b`,
		Args:    usageArgs(cobra.ExactArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.withLease(c.Context(), p, args[0], "lease revoke", func(ctx context.Context, ck *clerk.Clerk, id int64) error {
			if err := ck.Revoke(ctx, id); err != nil {
				return err
			}
			if out.isJSON() {
				return writeJSON(p.stdout, leaseJSON{ID: leaseText(id), Revoked: true})
			}
			_, err := fmt.Fprintln(p.stdout, "revoked")
			return err
		})
	}
	return c
}

// withLease runs a call about one lease.
func (n *connection) withLease(ctx context.Context, p *program, text, what string, call func(context.Context, *clerk.Clerk, int64) error) error {
	id, err := parseLease(text)
	if err != nil {
		return err
	}
	ck, ctx, cancel, err := n.open(ctx, p)
	if err != nil {
		return err
	}
	defer ck.Close()
	defer cancel()
	if err := call(ctx, ck, id); err != nil {
		if p.result.failed != nil {
			return err // of the output
		}
		return n.explainCall(what+" "+text, err)
	}
	return nil
}

func (p *program) leaseTTL() *cobra.Command {
	var n connection
	var out output
	c := &cobra.Command{
		Use:        "ttl ID",
		Aliases:    []string{"timetolive"},
		SuggestFor: []string{"get", "show", "info"},
		Short:      "Print how long a lease will live, and its keys",
		Long: `Print how long a lease will live if nobody keeps it alive, what it was granted, and the keys
that hang on it, one a line.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitUnavailable, exitUnreported),
		Example: `  balsa lease ttl 694d5765fc71500b
  balsa lease ttl 694d5765fc71500b -o json`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.withLease(c.Context(), p, args[0], "lease ttl", func(ctx context.Context, ck *clerk.Clerk, id int64) error {
			info, err := ck.TimeToLive(ctx, id)
			if err != nil {
				return err
			}
			return p.printLeaseInfo(&out, info)
		})
	}
	return c
}

func (p *program) printLeaseInfo(out *output, info clerk.LeaseInfo) error {
	l := leaseJSON{
		ID: leaseText(info.ID), TTL: seconds(info.Left), Granted: info.Granted.Seconds(), Session: info.Session, More: info.More,
	}
	for _, key := range info.Keys {
		text, encoded := textOrBase64([]byte(key))
		l.Keys = append(l.Keys, keyName{text, encoded})
	}
	if err := p.printLease(out, l); err != nil || out.isJSON() {
		return err
	}
	var keys strings.Builder
	for _, key := range info.Keys {
		fmt.Fprintf(&keys, "  %q\n", key)
	}
	if info.More {
		keys.WriteString("  ... and more\n")
	}
	_, err := p.stdout.Write([]byte(keys.String()))
	return err
}

func (p *program) leaseList() *cobra.Command {
	var n connection
	var out output
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "Print the ids of all leases",
		Long: `Print the ids of all leases, one a line.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported),
		Example: `  balsa lease ls
  balsa lease ls -o json   # a line for each`,
		Args: noArgs,
	}
	n.addFlags(c)
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		for id, err := range ck.Leases(ctx) {
			if err != nil {
				return n.explainCall("lease ls", err)
			}
			if out.isJSON() {
				err = writeJSON(p.stdout, leaseJSON{ID: leaseText(id)})
			} else {
				_, err = fmt.Fprintln(p.stdout, leaseText(id))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return c
}
