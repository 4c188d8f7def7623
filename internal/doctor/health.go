package doctor

import (
	"fmt"
	"strings"
	"time"

	"balsa.example/api"
)

// What is worth telling of.
const (
	manyBehind  = 10_000 // entries
	slowSync    = 10 * time.Millisecond
	lateSync    = 100 * time.Millisecond
	hungDisk    = time.Second
	lowSpace    = 1 << 30 // bytes
	noSpace     = 96 << 20
	fewFiles    = 1024
	fullMemory  = 0.9 // of the limit
	almostQuota = 0.8
)

// doAbout is what to do about an alarm.
var doAbout = map[api.Alarm]string{
	api.Alarm_DIVERGED:   "no majority agrees on the state: see docs/semantics.md, When replicas differ. Take a copy of all data directories first",
	api.Alarm_OVER_QUOTA: `delete keys and compact ("balsa compact --keep 1000"), or give it a larger quota`,
	api.Alarm_LOW_SPACE:  "free space on its disk, or give it a larger one; deletes and compaction still work",
	api.Alarm_DAMAGED:    `its disk has damaged files which no other member could give it: test the disk, then "balsa member replace"`,
	api.Alarm_NO_SPACE:   "somebody has raised it by the etcd API: make room, then lift it with \"balsa alarm disarm\"",
	api.Alarm_CORRUPT:    "somebody has raised it by the etcd API: find out why, then lift it with \"balsa alarm disarm\"",
}

// alarms looks at what servers say themselves.
func (d *diagnosis) alarms() {
	const check = "alarms"
	for _, s := range d.answering() {
		for _, a := range s.Second.Alarms {
			what := strings.ToLower(strings.ReplaceAll(a.String(), "_", " "))
			d.say(Problem, check, s.name(), strings.TrimSuffix(what+": "+s.Second.Alarm, ": "),
				"some or all writes, or reads of what is damaged, are refused", doAbout[a])
		}
		if len(s.Second.Alarms) == 0 && s.Second.Alarm != "" {
			d.say(Problem, check, s.name(), s.Second.Alarm, "some or all writes are refused", "see docs/troubleshooting.md, Writes are refused")
		}
	}
	d.fine(check, "no alarm is raised")
}

// hungDisks looks at writes and syncs that do not end.
func (d *diagnosis) hungDisks() {
	for _, s := range d.answering() {
		if wait := time.Duration(s.Second.DiskWaitMs) * time.Millisecond; wait >= hungDisk {
			d.say(Problem, "disks", s.name(), "a write or sync of its log has not ended for "+short(wait), "it acknowledges nothing meanwhile; another member must lead",
				"see the kernel's log for errors of that disk, and what else uses it")
		}
	}
}

// lag looks at servers that are far behind, and whether they come closer.
func (d *diagnosis) lag() {
	const check = "lag"
	leader := d.leads()
	if leader == nil {
		return
	}
	most := uint64(0)
	for _, s := range d.taking() {
		behind := leader.Second.CommitIndex - min(s.Second.AppliedIndex, leader.Second.CommitIndex)
		if most = max(most, behind); behind < manyBehind {
			continue
		}
		seen := fmt.Sprintf("is %d entries behind %s", behind, leader.name())
		if s.First != nil && leader.First != nil {
			before := leader.First.CommitIndex - min(s.First.AppliedIndex, leader.First.CommitIndex)
			switch {
			case behind < before:
				d.say(Note, check, s.name(), fmt.Sprintf("%s, and comes closer: it was %d", seen, before), "its local reads are old, and it should not lead", "wait")
				continue
			case behind > before:
				seen += fmt.Sprintf(", and falls back: it was %d", before)
			}
		}
		d.say(Warning, check, s.name(), seen, "its local reads are old; if another member fails, writes may have to wait for it",
			"compare its disk, processor and round trip with those of the others")
	}
	if most == 0 {
		d.fine(check, "no member is behind")
	}
	d.fine(check, fmt.Sprintf("no member is more than %d entries behind", most))
}

// syncTime is how long syncs of a log took: in the mean, and 99 of 100 at most. while says of which time.
func (s *Server) syncTime() (mean, late time.Duration, while string, ok bool) {
	after, before := s.Second.GetWork(), s.First.GetWork()
	if after.GetSyncs() == 0 {
		return 0, 0, "", false
	}
	while = "while doctor looked"
	if before == nil || after.Syncs <= before.Syncs || s.First.UptimeMs > s.Second.UptimeMs {
		before, while = &api.Work{}, "since it was started"
	}
	n := after.Syncs - before.Syncs
	late = LateOfSyncs(before.SyncTimes, after.SyncTimes, n)
	return time.Duration((after.SyncUs-before.SyncUs)/n) * time.Microsecond, late, while, true
}

// LateOfSyncs is how long 99 of 100 of n syncs took at most, between two looks: the bound of the class that this
// one is in.
func LateOfSyncs(before, after []*api.CountUpTo, n uint64) (late time.Duration) {
	was := map[uint64]uint64{}
	for _, up := range before {
		was[up.UpToUs] = up.Count
	}
	for _, up := range after {
		if late = time.Duration(up.UpToUs) * time.Microsecond; (up.Count-was[up.UpToUs])*100 >= n*99 {
			break
		}
	}
	return late
}

// syncs looks at how long the disks take. Each write waits for those of a majority.
func (d *diagnosis) syncs() {
	const check = "syncs"
	const why = "each write waits for the syncs of a majority, and a leader whose disk stalls for an election timeout is replaced"
	const do = "give the data directory a disk of its own, an SSD that keeps what it was told at a loss of power; see what else writes to it"
	var fine []string
	for _, s := range d.taking() {
		mean, late, while, ok := s.syncTime()
		if !ok {
			continue
		}
		seen := fmt.Sprintf("a sync of its log took %s in the mean, and 99 of 100 took up to %s, %s", short(mean), short(late), while)
		switch {
		case late >= lateSync:
			d.say(Warning, check, s.name(), seen, why, do)
		case mean >= slowSync:
			d.say(Note, check, s.name(), seen, why, do)
		default:
			fine = append(fine, fmt.Sprintf("%s %s (99 of 100 up to %s)", s.name(), short(mean), short(late)))
		}
	}
	if len(fine) > 0 {
		d.fine(check, "of the logs: "+strings.Join(fine, ", "))
	}
}

// failures looks at requests that failed while doctor looked.
func (d *diagnosis) failures() {
	const check = "requests"
	looked := false
	for _, s := range d.answering() {
		a, b := s.First.GetWork(), s.Second.GetWork()
		if a == nil || b == nil || s.Second.UptimeMs < s.First.UptimeMs {
			continue
		}
		if looked = true; b.Failed > a.Failed {
			d.say(Warning, check, s.name(), fmt.Sprintf("%d requests failed while doctor looked, and %d were answered", b.Failed-a.Failed, b.Reads+b.Writes-a.Reads-a.Writes),
				"clients had no leader, no answer in time, or too many requests at once", `its metrics say which and why: balsa_requests_total, by code`)
		}
	}
	if looked {
		d.fine(check, "none failed while doctor looked")
	}
}

// restarts finds servers that began while doctor looked.
func (d *diagnosis) restarts() {
	for _, s := range d.answering() {
		if s.First != nil && s.Second.UptimeMs < s.First.UptimeMs {
			d.say(Warning, "restarts", s.name(), "was started anew while doctor looked", "something ends it again and again, perhaps", "the end of its log says why")
		}
	}
}

// space looks at the disks of the servers.
func (d *diagnosis) space() {
	const check = "space"
	known := false
	for _, s := range d.answering() {
		r := s.Second.GetResources()
		if r.GetDiskFreeBytes() == 0 {
			continue
		}
		known = true
		d.free(check, s.name(), r.DiskFreeBytes, s.Second.DataBytes)
	}
	if known {
		d.fine(check, "all disks have room")
	}
}

// free judges the room on a disk that has so much data on it.
func (d *diagnosis) free(check, of string, free, data uint64) {
	seen := fmt.Sprintf("%s are free on its disk, and its data takes %s", size(free), size(data))
	const do = "free space, or give it a larger disk"
	switch {
	case free < noSpace:
		d.say(Problem, check, of, seen, "below 96 MiB it refuses what adds data", do)
	case free < lowSpace || free < data/4:
		d.say(Warning, check, of, seen, "below 96 MiB it refuses what adds data; checkpoints and merges need room meanwhile", do)
	}
}

// memory looks at servers that may soon be killed for want of memory.
func (d *diagnosis) memory() {
	for _, s := range d.answering() {
		r := s.Second.GetResources()
		if limit := r.GetMemoryLimitBytes(); limit > 0 && float64(r.MemoryBytes) > fullMemory*float64(limit) {
			d.say(Warning, "memory", s.name(), fmt.Sprintf("it uses %s of %s", size(r.MemoryBytes), size(limit)), "beyond the limit the process is killed",
				"give it more memory, or store fewer keys: the index of all keys is in memory")
		}
	}
}

// openFiles looks at limits of descriptors.
func (d *diagnosis) openFiles() {
	for _, s := range d.answering() {
		if limit := s.Second.GetResources().GetOpenFilesLimit(); limit > 0 && limit < fewFiles {
			d.say(Warning, "open files", s.name(), fmt.Sprintf("it may have %d open files", limit), "each connection is one: clients beyond that are refused",
				"LimitNOFILE= of its systemd unit, or ulimit -n, should be 65536")
		}
	}
}

// quota looks at how much of it is used.
func (d *diagnosis) quota() {
	if leader := d.leads(); leader != nil && leader.Second.QuotaBytes > 0 {
		used, quota := leader.Second.DbBytes, leader.Second.QuotaBytes
		seen := fmt.Sprintf("the store has %s of %s", size(used), size(quota))
		if float64(used) > almostQuota*float64(quota) {
			d.say(Warning, "quota", "", seen, "at its quota it takes no more puts", `delete keys and compact ("balsa compact --keep 1000"), or give it a larger quota`)
		}
		d.fine("quota", seen)
	}
}
