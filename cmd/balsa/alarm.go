package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/terminal"
)

// alarmJSON is an alarm in the format of -o json. ID is that of the member in hexadecimal, as in
// "balsa member list"; without it the alarm is that of the cluster.
type alarmJSON struct {
	Alarm string `json:"alarm"`
	Name  string `json:"name,omitempty"`
	ID    string `json:"id,omitempty"`
	// Until is "disarm", or "its cause" for one that ends when its cause does.
	Until string `json:"until"`
}

type alarmsJSON struct {
	Alarms []alarmJSON `json:"alarms"`
}

const (
	untilDisarm = "disarm"
	untilCause  = "its cause"
)

func (a alarmJSON) String() string {
	of := "the cluster"
	switch {
	case a.Name != "":
		of = a.Name
	case a.ID != "":
		of = a.ID
	}
	if a.Until == untilCause {
		return fmt.Sprintf("%s of %s, until its cause ends: see \"balsa status\"", a.Alarm, of)
	}
	return fmt.Sprintf("%s of %s, until \"balsa alarm disarm\"", a.Alarm, of)
}

func (p *program) alarm() *cobra.Command {
	return group("alarm", "List and lift alarms", `An alarm refuses writes, or tells what is wrong. Those that somebody has raised by the etcd
API last until they are lifted. That of the quota ends when there is room again, or is lifted.
Those of a server, of its disk or of states that differ, end with their cause.`,
		p.memberCommand(memberCall{
			use: "list", aliases: []string{"ls"}, short: "List the alarms", args: noArgs, read: true, example: "  balsa alarm list",
			long: `List the alarms of the cluster, and those that the servers have by themselves.`,
			call: func(r *memberRun) error {
				ctx, cancel := r.once()
				defer cancel()
				raised, err := r.ck.Alarms(ctx)
				if err != nil {
					return r.explain("alarm list", err)
				}
				return r.printAlarms(append(r.alarmsOf(ctx, raised), r.ownAlarms(ctx)...), "there is no alarm")
			},
		}),
		p.memberCommand(memberCall{
			use: "disarm", short: "Lift the alarms", args: noArgs, read: true, example: "  balsa alarm disarm",
			long: `Lift all alarms that somebody has raised, and that of the quota, and print them. The quota raises
its alarm again when it refuses the next write.`,
			call: func(r *memberRun) error {
				ctx, cancel := r.once()
				defer cancel()
				raised, err := r.ck.Alarms(ctx)
				for _, a := range raised {
					if err == nil {
						_, err = r.ck.LiftAlarm(ctx, a)
					}
				}
				if err != nil {
					return r.explain("alarm disarm", err)
				}
				return r.printAlarms(r.alarmsOf(ctx, raised), "there is no alarm to lift")
			},
		}))
}

// alarmsOf gives alarms the names of their members, where the members are known.
func (r *memberRun) alarmsOf(ctx context.Context, raised []clerk.Alarm) (all []alarmJSON) {
	members, _ := r.ck.Members(ctx, true)
	for _, a := range raised {
		one := alarmJSON{Alarm: a.Kind.String(), Until: untilDisarm}
		if a.Member != 0 {
			one.ID = memberID(a.Member)
		}
		for _, m := range members.All {
			if m.ID == a.Member {
				one.Name = m.Name
			}
		}
		all = append(all, one)
	}
	return all
}

// ownAlarms are those that servers have by themselves, of those that answer.
func (r *memberRun) ownAlarms(ctx context.Context) (all []alarmJSON) {
	for _, s := range r.ck.StatusAll(ctx) {
		for _, a := range s.Status.GetAlarms() {
			switch a {
			case api.Alarm_NO_SPACE, api.Alarm_CORRUPT, api.Alarm_OVER_QUOTA: // they are of the cluster
			default:
				all = append(all, alarmJSON{Alarm: a.String(), Name: s.Status.Name, ID: memberID(s.Status.NodeId), Until: untilCause})
			}
		}
	}
	return all
}

func (r *memberRun) printAlarms(all []alarmJSON, none string) error {
	if r.out.isJSON() {
		return writeJSON(r.p.stdout, alarmsJSON{append([]alarmJSON{}, all...)})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(r.p.stdout, none)
		return err
	}
	var lines strings.Builder
	for _, a := range all {
		terminal.Fprintf(&lines, "%s\n", a)
	}
	_, err := fmt.Fprint(r.p.stdout, lines.String())
	return err
}
