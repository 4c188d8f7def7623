package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"balsa.example/internal/doctor"
	"balsa.example/internal/terminal"
)

const doctorExitHelp = `Exit codes:
  0  no problem was found, whatever warnings there are
  1  any other error
  2  wrong usage
  7  the result could not be printed: the disk is full, or the reader has ended
  20 a problem was found`

// examination is the flags of "balsa doctor".
type examination struct {
	connection connection
	dataDir    string
	backupDir  string
	local      bool
	sample     time.Duration
}

func (p *program) doctor() *cobra.Command {
	var e examination
	var out output
	c := &cobra.Command{
		Use:        "doctor",
		SuggestFor: []string{"diagnose", "examine"},
		Short:      "Look for what is wrong with a cluster, or with this machine",
		Long: `Look at all servers of a cluster, and say what is wrong, why it matters and what to do: who
does not answer, how many may fail, alarms, lag, disks that are slow or full, settings and
versions that differ, clocks, certificates that expire or name another host, connections
between members, learners that never vote. All servers are asked twice, --sample apart, to
see what they do meanwhile. Nothing is changed.

With --data-dir it looks at this machine, too: it writes and syncs a small file in that
directory for up to 2 s, removes it, and says how long a sync takes; it looks at free space,
the file system, the memory and the limits of a process. With --backup-dir it looks at how
old the newest backup is. --local leaves out the cluster.

What was not measured is not spoken of. The levels are: ok, note (worth knowing), warning
(will be a problem, or makes one worse), problem (something does not work, or data is in
danger).
` + connectionHelp + doctorExitHelp,
		Example: `  balsa doctor
  balsa doctor --data-dir /var/lib/balsa --backup-dir /backup/balsa
  balsa doctor --local --data-dir /mnt/new-disk   # before a server runs there`,
		Args: noArgs,
	}
	e.connection.addFlags(c)
	out.addFlag(c)
	f := c.Flags()
	f.StringVar(&e.dataDir, "data-dir", "", "directory of this machine to look at: that of a server's data, or of one to come")
	f.StringVar(&e.backupDir, "backup-dir", "", `directory of "balsa backup" to look at`)
	f.BoolVar(&e.local, "local", false, "look at no cluster")
	f.DurationVar(&e.sample, "sample", 2*time.Second, "how long to watch the servers")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if e.local && e.dataDir == "" && e.backupDir == "" {
			return usageError("--local goes with --data-dir or --backup-dir: else there is nothing to look at")
		}
		if e.sample < 0 {
			return usageError("--sample is negative")
		}
		looking := p.begin(true, func(elapsed time.Duration) string { return "looking, " + elapsed.Round(time.Second).String() })
		facts, err := p.examine(c.Context(), &e)
		looking.end()
		switch {
		case c.Context().Err() != nil: // half of the findings would be that something does not answer
			return errors.New("interrupted before its end")
		case err != nil:
			return err
		}
		findings := doctor.Diagnose(facts)
		if out.isJSON() {
			err = writeJSON(p.stdout, struct {
				Findings []doctor.Finding `json:"findings"`
				Left     []string         `json:"not_looked_at"`
			}{findings, e.left()})
		} else {
			_, err = io.WriteString(p.result, e.text(findings, p.terminal(p.result)))
		}
		if err == nil && len(findings) > 0 && findings[0].Level == doctor.Problem {
			return exitStatus(exitProblem)
		}
		return err
	}
	return c
}

// left is what was not looked at, and how it is.
func (e *examination) left() []string {
	left := []string{}
	if e.local {
		left = append(left, "the cluster (without --local)")
	}
	if e.dataDir == "" {
		left = append(left, "the disk and the limits of this machine (--data-dir)")
	}
	if e.backupDir == "" {
		left = append(left, "backups (--backup-dir)")
	}
	return left
}

var levelStyles = map[doctor.Level]terminal.Style{
	doctor.Problem: terminal.Red, doctor.Warning: terminal.Yellow, doctor.Note: terminal.Bold, doctor.OK: terminal.Green,
}

// text is the findings for people.
func (e *examination) text(findings []doctor.Finding, t *terminal.Terminal) string {
	var b strings.Builder
	counts := map[doctor.Level]int{}
	for _, f := range findings {
		counts[f.Level]++
		what := f.Check
		if f.Of != "" {
			what += ", " + f.Of
		}
		b.WriteString(t.Paint(levelStyles[f.Level], fmt.Sprintf("%-7s", f.Level)))
		b.WriteString("  " + wrapped(terminal.Clean(what+": "+f.Seen), 9) + "\n")
		if f.Level == doctor.OK {
			continue
		}
		b.WriteString("         " + t.Paint(terminal.Faint, "why") + "  " + wrapped(terminal.Clean(f.Why), 14) + "\n")
		b.WriteString("         " + t.Paint(terminal.Faint, "do") + "   " + wrapped(terminal.Clean(f.Do), 14) + "\n")
	}
	fmt.Fprintf(&b, "\n%s, %s, %s; %d as they should be\n", counted(counts[doctor.Problem], "problem"), counted(counts[doctor.Warning], "warning"),
		counted(counts[doctor.Note], "note"), counts[doctor.OK])
	if left := e.left(); len(left) > 0 {
		b.WriteString(wrapped("not looked at: "+strings.Join(left, ", "), 2) + "\n")
	}
	return b.String()
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// wrapped breaks a text into lines of helpWidth at most, of which all but the first are indented.
func wrapped(text string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
