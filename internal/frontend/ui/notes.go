package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Note is something that an operator should know.
type Note struct {
	// Grave: the cluster serves no writes, or is about to lose something.
	Grave bool   `json:"grave"`
	Text  string `json:"text"`
}

const (
	// lagEntries is from when on a lag is worth a word: a member that is served well is closer.
	lagEntries = 10_000
	// expirySoon is how long before it expires a certificate is told of, as in the log.
	expirySoon = 14 * 24 * time.Hour
	// slowDisk is for how long a write to the disk may last.
	slowDisk = 2 * time.Second
)

// alarmTexts explain alarms.
var alarmTexts = map[string]string{
	"diverged":   "the states of the members differ, and writes are refused",
	"over_quota": "the store is at its quota, and takes no more keys: delete some, and compact",
	"low_space":  "the disk is almost full, and writes are refused",
	"damaged":    "files of the history are damaged, and wait to be repaired",
}

// notes says what is wrong with a cluster.
func notes(o *Overview) []Note {
	all := []Note{}
	add := func(grave bool, format string, args ...any) {
		all = append(all, Note{grave, fmt.Sprintf(format, args...)})
	}
	voters, away := 0, 0
	for i := range o.Members {
		m := &o.Members[i]
		if m.Voter {
			voters++
			if !m.Connected {
				away++
			}
		}
		m.notes(o.Now, add)
	}
	if o.Leader == "" {
		text := "No leader is known here, so nothing can be written. An election takes about a second."
		if away > voters-1-voters/2 {
			text = fmt.Sprintf("No leader is known here, and %d of %d voters do not answer: a majority must be reached before anything can be written.", away, voters)
		}
		add(true, "%s", text)
	} else if away > 0 && away == (voters-1)/2 {
		add(true, "No further voter may fail: %d of %d are away.", away, voters)
	}
	if versions := versionsOf(o.Members); len(versions) > 1 {
		add(false, "The members run different versions: %s. Finish the upgrade.", strings.Join(versions, ", "))
	}
	slices.SortStableFunc(all, func(a, b Note) int {
		switch {
		case a.Grave == b.Grave:
			return 0
		case a.Grave:
			return -1
		}
		return 1
	})
	return all
}

// notes says what is wrong with one member.
func (m *Member) notes(now int64, add func(grave bool, format string, args ...any)) {
	name := cmp.Or(m.Name, "A member without a name")
	r := m.Report
	switch {
	case !m.Started:
		add(false, "%s has a place, and has not started yet.", name)
		return
	case !m.Connected:
		add(false, "%s does not answer.", name)
		return
	case r == nil:
		return
	}
	if m.Diverged {
		add(true, "%s: its state differs from that of a majority. It must be rebuilt.", name)
	}
	if r.Waiting != "" {
		add(false, "%s: %s.", name, r.Waiting)
	}
	for _, alarm := range r.Alarms {
		add(true, "%s: %s.", name, cmp.Or(alarmTexts[alarm], alarm))
	}
	if r.AlarmText != "" && len(r.Alarms) == 0 {
		add(true, "%s: %s.", name, r.AlarmText)
	}
	if m.Behind > lagEntries {
		add(false, "%s is %d entries behind the leader.", name, m.Behind)
	}
	if wait := time.Duration(r.DiskWait) * time.Millisecond; wait > slowDisk {
		add(true, "%s has waited for its disk for %s.", name, wait.Round(time.Second))
	}
	for _, c := range r.Certificates {
		c.notes(now, name, add)
	}
}

func (c *Certificate) notes(now int64, name string, add func(grave bool, format string, args ...any)) {
	for what, at := range map[string]int64{"certificate": c.Expires, "certificate authority": c.Authorities} {
		left := time.Duration(at-now) * time.Millisecond
		switch {
		case at == 0 || left > expirySoon:
		case left <= 0:
			add(true, "%s: the %s for %ss has expired.", name, what, c.Side)
		default:
			add(left < 24*time.Hour, "%s: the %s for %ss expires in %s.", name, what, c.Side, days(left))
		}
	}
}

func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n > 1 {
		return fmt.Sprintf("%d days", n)
	}
	return fmt.Sprintf("%d hours", int(d/time.Hour))
}

// versionsOf are the versions that members run, sorted.
func versionsOf(members []Member) (all []string) {
	for _, m := range members {
		if r := m.Report; r != nil && r.Version != "" && !slices.Contains(all, r.Version) {
			all = append(all, r.Version)
		}
	}
	slices.Sort(all)
	return all
}
