package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
	"balsa.example/internal/terminal"
	"balsa.example/member"
)

// memberJSON is a member in the format of -o json.
type memberJSON struct {
	ID         string   `json:"id"`
	Name       string   `json:"name,omitempty"`
	Role       string   `json:"role"` // leader, voter, witness, learner; joining: a learner that is about to vote
	Started    bool     `json:"started"`
	PeerURLs   []string `json:"peer_urls"`
	ClientURLs []string `json:"client_urls"`
	Replaces   string   `json:"replaces,omitempty"`
	// What the leader knows; missing without one.
	Active        *bool   `json:"active,omitempty"`
	CaughtUp      *bool   `json:"caught_up,omitempty"`
	BehindEntries *uint64 `json:"behind_entries,omitempty"`
	BehindBytes   *uint64 `json:"behind_bytes,omitempty"`
}

func memberJSONOf(m clerk.Member, leader uint64, known bool) memberJSON {
	j := memberJSON{
		ID: memberID(m.ID), Name: m.Name, Role: roleOf(m, leader), Started: m.Started,
		PeerURLs: append([]string{}, m.PeerURLs...), ClientURLs: append([]string{}, m.ClientURLs...),
	}
	if m.Replaces != 0 {
		j.Replaces = memberID(m.Replaces)
	}
	if known {
		j.Active, j.CaughtUp, j.BehindEntries, j.BehindBytes = &m.Active, &m.CaughtUp, &m.BehindEntries, &m.BehindBytes
	}
	return j
}

func memberID(id uint64) string { return fmt.Sprintf("%016x", id) }

func roleOf(m clerk.Member, leader uint64) string {
	switch {
	case m.ID == leader && m.Voter:
		return "leader"
	case m.Voter && m.Witness:
		return "witness"
	case m.Voter:
		return "voter"
	case m.Promote:
		return "joining"
	}
	return "learner"
}

// memberCall is one of the commands about members.
type memberCall struct {
	use, short, long, example string
	aliases                   []string
	args                      cobra.PositionalArgs
	flags                     func(*cobra.Command)
	read                      bool
	exits                     []int // its exit codes; nil: those of a command that reads, or that changes something
	call                      func(c *memberRun) error
}

// memberRun is one run of such a command.
type memberRun struct {
	p    *program
	n    *connection
	out  *output
	ck   *clerk.Clerk
	ctx  context.Context // ends with the program
	args []string
}

// once is a context for one request.
func (r *memberRun) once() (context.Context, context.CancelFunc) {
	return r.n.within(r.ctx, r.p)
}

func (p *program) memberCommand(m memberCall) *cobra.Command {
	var n connection
	var out output
	codes := []int{exitOK, exitError, exitUsage, exitNotFound, exitMaybe, exitUnavailable, exitUnreported, exitRefused, exitBehind}
	if m.read {
		codes = []int{exitOK, exitError, exitUsage, exitUnavailable, exitUnreported}
	}
	if m.exits != nil {
		codes = m.exits
	}
	c := &cobra.Command{
		Use: m.use, Short: m.short, Aliases: m.aliases, Example: m.example,
		Long: m.long + "\n" + connectionHelp + exitHelp(codes...),
		Args: usageArgs(m.args),
	}
	n.addFlags(c)
	out.addFlag(c)
	if m.flags != nil {
		m.flags(c)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		ck, err := n.connect(p)
		if err != nil {
			return err
		}
		defer ck.Close()
		return m.call(&memberRun{p, &n, &out, ck, c.Context(), args})
	}
	return c
}

// explain turns an error of a Clerk about members into one with an exit code.
func (r *memberRun) explain(what string, err error) error {
	switch {
	case errors.Is(err, clerk.ErrNoMember):
		return withCode(exitNotFound, "%s: %w", what, bare(err))
	case errors.Is(err, clerk.ErrNotCaughtUp):
		return withCode(exitBehind, "%s: %w", what, bare(err))
	case errors.Is(err, clerk.ErrMemberExists), errors.Is(err, clerk.ErrMemberChange):
		return withCode(exitRefused, "%s: %w", what, bare(err))
	case errors.Is(err, clerk.ErrMaybe):
		return withCode(exitMaybe, `%s: outcome unknown, it may have happened; "balsa member list" tells: %w`, what, bare(err))
	case errors.Is(err, clerk.ErrUnavailable):
		return withCode(exitUnavailable, "%s: not done by %s; is a majority of the servers up? (%w)", what, strings.Join(r.n.endpoints, ","), bare(err))
	}
	return r.n.explainCall(what, err)
}

// who is the member that an argument names: by its name or, if there is none of that name, by its
// id.
func (r *memberRun) who(arg string) (clerk.MemberChange, error) {
	ctx, cancel := r.once()
	defer cancel()
	all, err := r.ck.Members(ctx, true)
	if err != nil {
		return clerk.MemberChange{}, r.explain("member "+arg, err)
	}
	for _, m := range all.All {
		if m.Name == arg {
			return clerk.MemberChange{Name: arg}, nil
		}
	}
	if id, err := strconv.ParseUint(arg, 16, 64); err == nil && len(arg) == 16 {
		return clerk.MemberChange{ID: id}, nil
	}
	return clerk.MemberChange{Name: arg}, nil
}

// change makes one change, and prints what the member is then.
func (r *memberRun) change(what string, c clerk.MemberChange, done string, do func(context.Context, clerk.MemberChange) (clerk.Member, error)) (clerk.Member, error) {
	ctx, cancel := r.once()
	defer cancel()
	m, err := do(ctx, c)
	if err != nil {
		return m, r.explain(what, err)
	}
	if r.out.isJSON() {
		return m, writeJSON(r.p.stdout, memberJSONOf(m, 0, false))
	}
	_, err = terminal.Fprintf(r.p.stdout, "%s %s %s\n", done, orDash(m.Name), memberID(m.ID))
	return m, err
}

// hintJoin says, for people, how the server of a place is started.
func (r *memberRun) hintJoin(m clerk.Member) {
	if r.out.isJSON() || m.Started {
		return
	}
	ctx, cancel := r.once()
	defer cancel()
	all, err := r.ck.Members(ctx, true)
	var doors []string
	for _, other := range all.All {
		if other.Started && other.ID != m.Replaces && len(other.PeerURLs) > 0 && len(doors) < maxDoors {
			_, address, _ := strings.Cut(other.PeerURLs[0], "://")
			doors = append(doors, address)
		}
	}
	if err != nil || len(doors) == 0 {
		doors = []string{"PEER-ADDRESS"}
	}
	witness := ""
	if m.Witness {
		witness = " --witness"
	}
	r.p.note("now start it: balsa serve --name %s --join %s%s ...", orDash(m.Name), strings.Join(doors, ","), witness)
}

// maxDoors is how many members are named to a server that is to join: it needs one that answers.
const maxDoors = 3

// await waits until a member votes, for wait at most, and says how far it is.
func (r *memberRun) await(what string, id uint64, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	var progress member.Progress
	var text atomic.Pointer[string]
	told := r.p.begin(false, func(time.Duration) string {
		if now := text.Load(); now != nil {
			return *now
		}
		return ""
	})
	defer told.end()
	for {
		ctx, cancel := r.once()
		all, err := r.ck.Members(ctx, false)
		cancel()
		gone := err == nil
		for _, m := range all.All {
			if m.ID != id {
				continue
			}
			if gone = false; m.Voter {
				return nil
			}
			how := "has not started yet"
			if m.Started {
				how = progress.Note(member.Info{Behind: m.BehindEntries, BehindBytes: m.BehindBytes}, time.Now())
			}
			how = fmt.Sprintf("%s: %s", orDash(m.Name), how)
			text.Store(&how)
		}
		switch {
		case gone:
			return withCode(exitNotFound, "%s: the member was removed meanwhile", what)
		case r.ctx.Err() != nil:
			return r.ctx.Err()
		case time.Now().After(deadline) && err != nil && text.Load() == nil:
			return withCode(exitUnavailable, "%s: the place is made, and nobody has told for %s how far the new server is: %w", what, wait, bare(err))
		case time.Now().After(deadline):
			return withCode(exitBehind, "%s: it does not vote yet after %s; nothing is wrong with that: it votes as soon as it is caught up", what, wait)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-r.ctx.Done():
		}
	}
}

func (p *program) member() *cobra.Command {
	return group("member", "List, add, replace and remove the servers of a cluster", `A member of a cluster is a voter, or a learner, which gets all that is written and does not
vote. A new server joins by itself:

  balsa serve --name n4 --join 10.0.0.1:23800 --listen-peer-urls http://10.0.0.4:23800 \
      --listen-client-urls http://10.0.0.4:23790

It gets the state, and votes when it is caught up. A machine that is lost is replaced by
"balsa member replace", and a server of the same name that joins as above.

The commands may be asked of any server. With authentication on, those that change something
are for users with the role root.`,
		p.memberList(), p.memberAdd(), p.memberPromote(), p.memberRemove(), p.memberUpdate(), p.memberReplace())
}

func (p *program) memberList() *cobra.Command {
	return p.memberCommand(memberCall{
		use: "list", short: "Print the members", aliases: []string{"ls"}, args: noArgs, read: true,
		example: "  balsa member list\n  balsa member list -o json",
		long: `Print the members, as the leader knows them: their role, whether they answer, and how far
those are that are not caught up. A server is "joining" until it votes. Without a leader one
server tells what it knows itself.`,
		call: func(r *memberRun) error {
			ctx, cancel := r.once()
			defer cancel()
			patience, done := context.WithTimeout(ctx, r.n.timeout/2)
			all, err := r.ck.Members(patience, false)
			done()
			if err != nil && !clerk.Denied(err) {
				if all, err = r.ck.Members(ctx, true); err == nil {
					p.note("balsa: warning: no leader has answered; this is what one server knows")
				}
			}
			if err != nil {
				return r.explain("member list", err)
			}
			slices.SortStableFunc(all.All, func(a, b clerk.Member) int { return strings.Compare(a.Name, b.Name) })
			if !r.out.isJSON() {
				return writeMembers(p.stdout, all)
			}
			list := []memberJSON{}
			for _, m := range all.All {
				list = append(list, memberJSONOf(m, all.Leader, all.FromLeader))
			}
			return writeJSON(p.stdout, struct {
				Members []memberJSON `json:"members"`
			}{list})
		},
	})
}

func writeMembers(w io.Writer, all clerk.Members) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tID\tROLE\tSTATE\tPEERS\tCLIENTS")
	for _, m := range all.All {
		terminal.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", orDash(m.Name), memberID(m.ID), roleOf(m, all.Leader), stateOf(m, all),
			orDash(strings.Join(m.PeerURLs, ",")), orDash(strings.Join(m.ClientURLs, ",")))
	}
	return t.Flush()
}

// stateOf says how a member is, in a few words.
func stateOf(m clerk.Member, all clerk.Members) string {
	switch {
	case !m.Started:
		return "not started"
	case !all.FromLeader:
		return "-"
	case !m.Active:
		return "silent"
	case m.CaughtUp || m.Voter && m.BehindEntries < 1000:
		return "ok"
	}
	return fmt.Sprintf("%d entries, %s behind", m.BehindEntries, bytesText(m.BehindBytes))
}

func (p *program) memberAdd() *cobra.Command {
	var c clerk.MemberChange
	return p.memberCommand(memberCall{
		use: "add NAME", short: "Make a place for a server", args: cobra.ExactArgs(1),
		example: "  balsa member add n4\n  balsa member add replica --learner",
		long: `Make a place for a server that has not started. It takes it when it is started with this NAME and
--join, gets the state, and votes when it is caught up. A server that is started with --join and a
new name needs no such place: it is made one.`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&c.Learner, "learner", false, "it never votes, unless it is promoted: a copy to read from")
			cmd.Flags().StringSliceVar(&c.PeerURLs, "peer-urls", nil, "addresses where the other servers will find it")
		},
		call: func(r *memberRun) error {
			c.NewName = r.args[0]
			m, err := r.change("member add", c, "added", r.ck.AddMember)
			if err == nil {
				r.hintJoin(m)
			}
			return err
		},
	})
}

func (p *program) memberPromote() *cobra.Command {
	var wait time.Duration
	return p.memberCommand(memberCall{
		use: "promote NAME|ID", short: "Let a learner vote", args: cobra.ExactArgs(1),
		example: "  balsa member promote replica\n  balsa member promote replica --wait 10m",
		long: `Let a learner vote. That is refused while it is not caught up: without its log it would only be
one more that has to be waited for.`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().DurationVar(&wait, "wait", 0, "how long to try again until it is caught up")
		},
		call: func(r *memberRun) error {
			who, err := r.who(r.args[0])
			if err != nil {
				return err
			}
			deadline := time.Now().Add(wait)
			if wait > 0 {
				defer p.waiting(r.args[0] + " is not caught up yet").end()
			}
			for {
				_, err = r.change("member promote", who, "promoted", r.ck.PromoteMember)
				if exitCode(err) != exitBehind || time.Now().After(deadline) {
					return err
				}
				select {
				case <-time.After(time.Second):
				case <-r.ctx.Done():
					return err
				}
			}
		},
	})
}

func (p *program) memberRemove() *cobra.Command {
	return p.memberCommand(memberCall{
		use: "remove NAME|ID", short: "Remove a server for good", aliases: []string{"rm", "delete"}, args: cobra.ExactArgs(1),
		example: "  balsa member remove n3",
		long: `Remove a server for good. Its process ends with exit code 15 when it hears of that, and its data
directory is of no use any more. That is refused if those servers that answer would be no majority
after it: then nothing could be written any more. Remove those first that do not answer.`,
		call: func(r *memberRun) error {
			who, err := r.who(r.args[0])
			if err != nil {
				return err
			}
			_, err = r.change("member remove", who, "removed", r.ck.RemoveMember)
			return err
		},
	})
}

func (p *program) memberUpdate() *cobra.Command {
	var c clerk.MemberChange
	return p.memberCommand(memberCall{
		use: "update NAME|ID", short: "Change the addresses of a server", args: cobra.ExactArgs(1),
		example: "  balsa member update n3 --peer-urls http://10.0.0.9:23800",
		long: `Change the addresses where other servers, or clients, find a server. It is seldom needed: a
server tells its addresses each time that it starts.`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringSliceVar(&c.PeerURLs, "peer-urls", nil, "addresses where the other servers find it")
			cmd.Flags().StringSliceVar(&c.ClientURLs, "client-urls", nil, "addresses that clients are told")
		},
		call: func(r *memberRun) error {
			if len(c.PeerURLs)+len(c.ClientURLs) == 0 {
				return usageError("member update needs --peer-urls, or --client-urls, or both")
			}
			who, err := r.who(r.args[0])
			if err != nil {
				return err
			}
			who.PeerURLs, who.ClientURLs = c.PeerURLs, c.ClientURLs
			_, err = r.change("member update", who, "updated", r.ck.UpdateMember)
			return err
		},
	})
}

func (p *program) memberReplace() *cobra.Command {
	var as string
	var wait time.Duration
	return p.memberCommand(memberCall{
		use: "replace NAME|ID", short: "Let a new server take the place of another", args: cobra.ExactArgs(1),
		example: "  balsa member replace n3\n  balsa member replace n3 --as n4 --wait 10m",
		long: `Let a new server take the place of another, which may be lost or alive. Start the new one with
the same name (or that of --as), an empty data directory, and --join. It gets the state. When it
is caught up it votes, and the other one is removed, in one step. Until then the other one
stays a member.`,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&as, "as", "", "name of the new server (default: that of the other one)")
			cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait until the new server votes")
		},
		call: func(r *memberRun) error {
			who, err := r.who(r.args[0])
			if err != nil {
				return err
			}
			who.NewName = as
			m, err := r.change("member replace", who, "to be replaced by", r.ck.ReplaceMember)
			if err != nil {
				return err
			}
			r.hintJoin(m)
			if wait == 0 {
				return nil
			}
			return r.await("member replace", m.ID, wait)
		},
	})
}
