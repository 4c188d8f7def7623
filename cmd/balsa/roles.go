package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

func (p *program) role() *cobra.Command {
	return group("role", "Add, change and list roles", `A role allows to read and write keys. Users have roles. See "balsa auth".`,
		p.userCommand(userCall{
			use: "add ROLE", short: "Add a role", args: 1, example: "  balsa role add app",
			long: `Add a role, which allows nothing yet.`,
			call: p.change("added", func(ctx context.Context, ck *clerk.Clerk, a []string) error { return ck.AddRole(ctx, a[0]) }),
		}),
		p.userCommand(userCall{
			use: "delete ROLE", short: "Delete a role", args: 1, example: "  balsa role delete app", aliases: []string{"del", "rm"},
			long: `Delete a role, and take it from all users.`,
			call: p.change("deleted", func(ctx context.Context, ck *clerk.Clerk, a []string) error { return ck.DeleteRole(ctx, a[0]) }),
		}),
		p.roleGrant(), p.roleRevoke(),
		p.userCommand(userCall{
			use: "get ROLE", short: "Print what a role allows", args: 1, example: "  balsa role get app", read: true,
			long: `Print what a role allows, one permission a line. The role root allows everything. Every user may
do that for its own roles.`,
			call: func(ctx context.Context, ck *clerk.Clerk, a []string, out *output) error {
				r, err := ck.Role(ctx, a[0])
				if err != nil {
					return err
				}
				return p.printRole(out, r)
			},
		}),
		p.userCommand(userCall{
			use: "list", short: "Print all roles", example: "  balsa role list", aliases: []string{"ls"}, read: true,
			long: `Print all roles, and what each allows.`,
			call: func(ctx context.Context, ck *clerk.Clerk, _ []string, out *output) error {
				all, err := ck.Users(ctx)
				for i := 0; err == nil && i < len(all.Roles); i++ {
					err = p.printRole(out, all.Roles[i])
				}
				return err
			},
		}))
}

// keySpan is the flags that make more of the KEY of a role than one key.
type keySpan struct {
	prefix, fromKey bool
	to              string
}

func (s *keySpan) addFlags(c *cobra.Command) {
	c.Flags().BoolVar(&s.prefix, "prefix", false, "all keys that begin with KEY")
	c.Flags().BoolVar(&s.fromKey, "from-key", false, "all keys from KEY on")
	c.Flags().StringVar(&s.to, "to", "", "all keys from KEY on and before this one")
	c.MarkFlagsMutuallyExclusive("prefix", "from-key", "to")
}

func (s *keySpan) of(key string) (clerk.Span, error) {
	switch {
	case s.prefix:
		return clerk.Prefix(key), nil
	case s.fromKey:
		return clerk.FromKey(key), nil
	case s.to != "" && s.to <= key:
		return clerk.Span{}, usageError("--to %q is not behind %q", s.to, key)
	case s.to != "":
		return clerk.Span{From: key, To: s.to}, nil
	case key == "":
		return clerk.Span{}, usageError("KEY is empty; with --prefix that is every key")
	}
	return clerk.Key(key), nil
}

func (p *program) roleGrant() *cobra.Command {
	var span keySpan
	return p.userCommand(userCall{
		use: "grant ROLE ACCESS KEY", short: "Allow a role to read or write keys", args: 3, flags: span.addFlags,
		long: `Allow a role to read or write keys. ACCESS is read, write or readwrite. An access over the same
keys that the role has is replaced.`,
		example: `  balsa role grant app readwrite app/ --prefix
  balsa role grant app read config`,
		call: p.change("granted", func(ctx context.Context, ck *clerk.Clerk, a []string) error {
			access, known := map[string]clerk.Access{
				"read": clerk.ReadAccess, "write": clerk.WriteAccess, "readwrite": clerk.ReadWriteAccess,
			}[a[1]]
			if !known {
				return usageError("ACCESS is %q; it must be read, write or readwrite", a[1])
			}
			keys, err := span.of(a[2])
			if err != nil {
				return err
			}
			return ck.Allow(ctx, a[0], clerk.Permission{Access: access, Span: keys})
		}),
	})
}

func (p *program) roleRevoke() *cobra.Command {
	var span keySpan
	return p.userCommand(userCall{
		use: "revoke ROLE KEY", short: "Take from a role what it allows over keys", args: 2, flags: span.addFlags,
		long: `Take from a role what it allows over keys. KEY and the flags must be those with which that was
granted.`,
		example: `  balsa role revoke app app/ --prefix`,
		call: p.change("revoked", func(ctx context.Context, ck *clerk.Clerk, a []string) error {
			keys, err := span.of(a[1])
			if err != nil {
				return err
			}
			return ck.Disallow(ctx, a[0], keys)
		}),
	})
}

func (p *program) printRole(out *output, r clerk.Role) error {
	if out.isJSON() {
		j := roleJSON{Role: r.Name, Permissions: []permissionJSON{}}
		for _, permission := range r.Permissions {
			one := permissionJSON{Access: permission.Access.String(), From: nameOf(permission.Span.From)}
			if permission.Span.To != "" {
				to := nameOf(permission.Span.To)
				one.To = &to
			}
			j.Permissions = append(j.Permissions, one)
		}
		return writeJSON(p.stdout, j)
	}
	text := fmt.Sprintf("%q\n", r.Name)
	for _, permission := range r.Permissions {
		text += fmt.Sprintf("  %-9s %s\n", permission.Access, keysText(permission.Span))
	}
	_, err := p.stdout.Write([]byte(text))
	return err
}

func nameOf(key string) keyName {
	text, encoded := textOrBase64([]byte(key))
	return keyName{text, encoded}
}

// keysText says which keys a span has.
func keysText(s clerk.Span) string {
	switch {
	case s.To == s.From+"\x00":
		return fmt.Sprintf("%q", s.From)
	case s.To == "":
		return fmt.Sprintf("from %q on", s.From)
	case s == clerk.Prefix(s.From):
		return fmt.Sprintf("prefix %q", s.From)
	}
	return fmt.Sprintf("from %q, before %q", s.From, s.To)
}
