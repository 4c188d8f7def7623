package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
	"balsa.example/internal/terminal"
)

func (p *program) moveLeader() *cobra.Command {
	return p.memberCommand(memberCall{
		use: "move-leader [NAME|ID]", short: "Let another server lead", args: cobra.MaximumNArgs(1),
		example: "  balsa move-leader\n  balsa move-leader n2",
		long: `Let another server lead: the one that is named, or one that has most of the log. Clients notice
no more than a short pause.`,
		exits: []int{exitOK, exitError, exitUsage, exitNotFound, exitMaybe, exitUnavailable, exitUnreported, exitRefused},
		call: func(r *memberRun) error {
			ctx, cancel := r.once()
			defer cancel()
			all, err := r.ck.Members(ctx, false)
			if err != nil {
				return r.explain("move-leader", err)
			}
			endpoint, target, err := leaderAndTarget(all, r.args)
			if err != nil {
				return err
			}
			reply, err := r.ck.TransferLeadership(ctx, endpoint, target)
			if err != nil {
				return r.explainMove(err)
			}
			name := memberID(reply.LeaderId)
			for _, m := range all.All {
				if m.ID == reply.LeaderId {
					name = m.Name
				}
			}
			if r.out.isJSON() {
				return writeJSON(p.stdout, struct {
					Leader string `json:"leader"`
					ID     string `json:"id"`
					Term   uint64 `json:"term"`
				}{name, memberID(reply.LeaderId), reply.Term})
			}
			_, err = terminal.Fprintf(p.stdout, "%s leads\n", name)
			return err
		},
	})
}

// explainMove turns an error of a transfer into one with an exit code.
func (r *memberRun) explainMove(err error) error {
	switch {
	case clerk.Denied(err):
		return r.n.explainCall("move-leader", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		status.Code(err) == codes.DeadlineExceeded, status.Code(err) == codes.Canceled:
		return withCode(exitMaybe, `move-leader: outcome unknown, it may have happened; "balsa member list" tells: %w`, err)
	}
	return withCode(exitRefused, "move-leader: %w", err)
}

// leaderAndTarget is where the leader is found, and the id of the member that should lead; 0: any.
func leaderAndTarget(all clerk.Members, args []string) (endpoint string, target uint64, err error) {
	other := ""
	for _, m := range all.All {
		if m.ID == all.Leader && len(m.ClientURLs) > 0 {
			endpoint = m.ClientURLs[0]
		}
		if len(args) == 0 || m.Name != args[0] && memberID(m.ID) != args[0] {
			continue
		}
		switch {
		case m.Witness:
			other = "a witness"
		case !m.Voter:
			other = "a learner"
		default:
			target = m.ID
		}
	}
	switch {
	case endpoint == "":
		return "", 0, withCode(exitUnavailable, "move-leader: no leader is known, or not where clients find it")
	case len(args) > 0 && target == 0 && other != "":
		return "", 0, withCode(exitRefused, "move-leader: %s is %s, which cannot lead", args[0], other)
	case len(args) > 0 && target == 0:
		return "", 0, withCode(exitNotFound, "move-leader: there is no voter %q", args[0])
	}
	return endpoint, target, nil
}
