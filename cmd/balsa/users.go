package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

// userJSON, roleJSON and authJSON are the formats of -o json.
type userJSON struct {
	User       string   `json:"user"`
	Roles      []string `json:"roles"`
	NoPassword bool     `json:"no_password,omitempty"`
}

type roleJSON struct {
	Role        string           `json:"role"`
	Permissions []permissionJSON `json:"permissions"`
}

// permissionJSON is a permission for the keys from one on and before another; before that there is
// no end if "to" is missing.
type permissionJSON struct {
	Access string   `json:"access"`
	From   keyName  `json:"from"`
	To     *keyName `json:"to,omitempty"`
}

type authJSON struct {
	Enabled  bool   `json:"enabled"`
	Revision uint64 `json:"auth_revision"`
}

// doneJSON is the result of a change.
type doneJSON struct {
	Done string `json:"done"`
}

// userCall is one of the commands about users, roles and authentication.
type userCall struct {
	use, short, long, example string
	aliases                   []string
	args                      int
	flags                     func(*cobra.Command)
	read                      bool
	// ready makes of the arguments what call gets, and may take its time: --timeout is for call. nil: they are that.
	ready func(args []string) ([]string, error)
	call  func(ctx context.Context, ck *clerk.Clerk, args []string, out *output) error
}

// command makes a command of a call.
func (p *program) userCommand(u userCall) *cobra.Command {
	var n connection
	var out output
	codes := []int{exitOK, exitError, exitUsage, exitMaybe, exitUnavailable, exitUnreported}
	if u.read {
		codes = []int{exitOK, exitError, exitUsage, exitUnavailable, exitUnreported}
	}
	c := &cobra.Command{
		Use: u.use, Short: u.short, Aliases: u.aliases, Example: u.example,
		Long: u.long + "\n" + connectionHelp + exitHelp(codes...),
		Args: usageArgs(cobra.ExactArgs(u.args)),
	}
	if u.args == 0 {
		c.Args = noArgs
	}
	n.addFlags(c)
	out.addFlag(c)
	if u.flags != nil {
		u.flags(c)
	}
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if u.ready != nil {
			if args, err = u.ready(args); err != nil {
				return err
			}
		}
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		if err := u.call(ctx, ck, args, &out); err != nil {
			var coded *exitCoder
			if p.result.failed != nil || errors.As(err, &coded) {
				return err
			}
			return n.explainCall(strings.TrimPrefix(c.CommandPath(), "balsa "), err)
		}
		return nil
	}
	return c
}

// printDone prints that a change was made.
func (p *program) printDone(out *output, text string) error {
	if out.isJSON() {
		return writeJSON(p.stdout, doneJSON{text})
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}

// change is a call that changes something.
func (p *program) change(done string, do func(ctx context.Context, ck *clerk.Clerk, args []string) error) func(context.Context, *clerk.Clerk, []string, *output) error {
	return func(ctx context.Context, ck *clerk.Clerk, args []string, out *output) error {
		if err := do(ctx, ck, args); err != nil {
			return err
		}
		return p.printDone(out, done)
	}
}

// group is a command that has others only.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Args: subcommandOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(commands...)
	return c
}

func (p *program) auth() *cobra.Command {
	return group("auth", "Switch authentication on and off", `With authentication on, each command needs a user (--user), and a user may read and write
the keys that its roles allow. Users with the role root may do everything.

  balsa user add root:secret && balsa user grant-role root root
  balsa role add app && balsa role grant app readwrite app/ --prefix
  balsa user add ann:word && balsa user grant-role ann app
  balsa auth enable
  balsa put app/1 hello --user ann:word`,
		p.userCommand(userCall{
			use: "enable", short: "Switch authentication on", example: "  balsa auth enable",
			long: `Switch authentication on. There must be a user root that has the role root.`,
			call: p.change("enabled", func(ctx context.Context, ck *clerk.Clerk, _ []string) error { return ck.EnableAuth(ctx) }),
		}),
		p.userCommand(userCall{
			use: "disable", short: "Switch authentication off", example: "  balsa auth disable --user root",
			long: `Switch authentication off. Users and roles stay; all tokens are invalid.`,
			call: p.change("disabled", func(ctx context.Context, ck *clerk.Clerk, _ []string) error { return ck.DisableAuth(ctx) }),
		}),
		p.userCommand(userCall{
			use: "status", short: "Print whether authentication is on", example: "  balsa auth status", read: true,
			long: `Print whether authentication is on, and the auth revision, which counts the changes of users
and roles.`,
			call: func(ctx context.Context, ck *clerk.Clerk, _ []string, out *output) error {
				s, err := ck.AuthStatus(ctx)
				if err != nil {
					return err
				}
				if out.isJSON() {
					return writeJSON(p.stdout, authJSON{s.Enabled, s.Revision})
				}
				_, err = fmt.Fprintf(p.stdout, "enabled=%t auth_revision=%d\n", s.Enabled, s.Revision)
				return err
			},
		}))
}

func (p *program) user() *cobra.Command {
	return group("user", "Add, change and list users", `A user has a password, or a certificate that names it, and roles. See "balsa auth".`,
		p.userAdd(), p.userPasswd(),
		p.userCommand(userCall{
			use: "delete NAME", short: "Delete a user", args: 1, example: "  balsa user delete ann", aliases: []string{"del", "rm"},
			long: `Delete a user. Its tokens are invalid from then on.`,
			call: p.change("deleted", func(ctx context.Context, ck *clerk.Clerk, a []string) error { return ck.DeleteUser(ctx, a[0]) }),
		}),
		p.userCommand(userCall{
			use: "grant-role NAME ROLE", short: "Give a user a role", args: 2, example: "  balsa user grant-role ann app",
			long: `Give a user a role. The role root may do everything.`,
			call: p.change("granted", func(ctx context.Context, ck *clerk.Clerk, a []string) error { return ck.GrantRole(ctx, a[0], a[1]) }),
		}),
		p.userCommand(userCall{
			use: "revoke-role NAME ROLE", short: "Take a role from a user", args: 2, example: "  balsa user revoke-role ann app",
			long: `Take a role from a user. Its watches of keys that it may not read any more end.`,
			call: p.change("revoked", func(ctx context.Context, ck *clerk.Clerk, a []string) error { return ck.RevokeRole(ctx, a[0], a[1]) }),
		}),
		p.userCommand(userCall{
			use: "get NAME", short: "Print the roles of a user", args: 1, example: "  balsa user get ann", read: true,
			long: `Print the roles of a user. Every user may do that for itself.`,
			call: func(ctx context.Context, ck *clerk.Clerk, a []string, out *output) error {
				u, err := ck.User(ctx, a[0])
				if err != nil {
					return err
				}
				return p.printUser(out, u)
			},
		}),
		p.userCommand(userCall{
			use: "list", short: "Print all users", example: "  balsa user list", aliases: []string{"ls"}, read: true,
			long: `Print all users, one a line, with their roles.`,
			call: func(ctx context.Context, ck *clerk.Clerk, _ []string, out *output) error {
				all, err := ck.Users(ctx)
				for i := 0; err == nil && i < len(all.Users); i++ {
					err = p.printUser(out, all.Users[i])
				}
				return err
			},
		}))
}

func (p *program) userAdd() *cobra.Command {
	var noPassword bool
	return p.userCommand(userCall{
		use: "add NAME[:PASSWORD]", short: "Add a user", args: 1,
		long: `Add a user. Without a password in the argument it is read from standard input, one line. With
--no-password only a client certificate whose common name is NAME proves the user.`,
		example: `  balsa user add ann:word
  balsa user add ann < password.txt
  balsa user add host7 --no-password`,
		flags: func(c *cobra.Command) {
			c.Flags().BoolVar(&noPassword, "no-password", false, "only a certificate proves the user")
		},
		ready: func(a []string) ([]string, error) {
			if noPassword {
				return a, nil
			}
			return p.namePassword(a[0])
		},
		call: p.change("added", func(ctx context.Context, ck *clerk.Clerk, a []string) error {
			if noPassword {
				return ck.AddUserWithoutPassword(ctx, a[0])
			}
			return ck.AddUser(ctx, a[0], a[1])
		}),
	})
}

func (p *program) userPasswd() *cobra.Command {
	return p.userCommand(userCall{
		use: "passwd NAME[:PASSWORD]", short: "Give a user another password", args: 1,
		long: `Give a user another password. Its tokens are invalid from then on. Without a password in the
argument it is read from standard input, one line.`,
		example: `  balsa user passwd ann < password.txt`,
		ready:   func(a []string) ([]string, error) { return p.namePassword(a[0]) },
		call: p.change("changed", func(ctx context.Context, ck *clerk.Clerk, a []string) error {
			return ck.SetPassword(ctx, a[0], a[1])
		}),
	})
}

// namePassword is a name and a password: from the argument, or else the password is a line of the input.
func (p *program) namePassword(text string) ([]string, error) {
	name, password, given := strings.Cut(text, ":")
	if given {
		return []string{name, password}, nil
	}
	line, err := bufio.NewReader(io.LimitReader(p.stdin, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, usageError("read the password: %w", err)
	}
	if password = strings.TrimRight(line, "\r\n"); password == "" {
		return nil, usageError("the password is empty: give NAME:PASSWORD, or the password on standard input")
	}
	return []string{name, password}, nil
}

// maxPasswordLine is more than any password may have: servers take 72 bytes.
const maxPasswordLine = 1 << 10

func (p *program) printUser(out *output, u clerk.User) error {
	if out.isJSON() {
		return writeJSON(p.stdout, userJSON{u.Name, append([]string{}, u.Roles...), u.NoPassword})
	}
	text := fmt.Sprintf("%q roles=%q", u.Name, u.Roles)
	if u.NoPassword {
		text += " no_password=true"
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}
