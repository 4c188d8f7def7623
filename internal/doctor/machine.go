package doctor

import (
	"fmt"
	"time"
)

// Machine is what was measured of the machine that doctor runs on. 0: not known, or no limit.
type Machine struct {
	Dir string // in which a data directory is, or is to be
	// Syncs are how long each sync of a small write to a file there took, sorted; ProbeErr why there are none.
	Syncs    []time.Duration
	ProbeErr error
	Free     uint64 // bytes
	// FileSystem is its kind, where that matters: "tmpfs", "nfs".
	FileSystem string
	OpenFiles  uint64
	// MemoryLimit is what this process may have, and Memory what the machine has.
	MemoryLimit, Memory uint64
	Processors          int
}

// Late is how long so many of 100 syncs took at most.
func (m *Machine) Late(of100 int) time.Duration {
	if len(m.Syncs) == 0 {
		return 0
	}
	return m.Syncs[(len(m.Syncs)-1)*of100/100]
}

// machine looks at this machine.
func (d *diagnosis) machine() {
	m := d.Machine
	if m == nil {
		return
	}
	m.probe(d)
	m.kind(d)
	before := len(d.findings)
	if m.Free > 0 { // otherwise that is not known
		d.free("this disk", m.Dir, m.Free, 0)
	}
	if len(d.findings) == before && m.Free > 0 {
		d.say(OK, "this disk", m.Dir, size(m.Free)+" are free", "", "")
	}
	if m.OpenFiles > 0 && m.OpenFiles < fewFiles {
		d.say(Warning, "this machine", "", fmt.Sprintf("a process that is started from here may have %d open files", m.OpenFiles),
			"each connection of a server is one", "ulimit -n 65536, or LimitNOFILE= of a systemd unit")
	}
	if m.MemoryLimit > 0 && m.MemoryLimit < m.Memory {
		d.say(Note, "this machine", "", fmt.Sprintf("a process that is started from here may have %s of the %s of memory", size(m.MemoryLimit), size(m.Memory)),
			"a control group or GOMEMLIMIT says so. A server lets its index take nearly half of that", "raise it if the store is to have more keys")
	}
	if m.Processors == 1 {
		d.say(Note, "this machine", "", "it has one processor for a process that is started from here", "a server does many things at the same time", "two or more are better")
	}
	d.fine("this machine", fmt.Sprintf("%d processors, %s of memory, %d open files", m.Processors, size(m.Memory), m.OpenFiles))
}

// probe judges the disk.
func (m *Machine) probe(d *diagnosis) {
	const check = "this disk's syncs"
	if m.ProbeErr != nil {
		d.say(Problem, check, m.Dir, "they could not be measured: "+m.ProbeErr.Error(), "a server could not write there, either", "see the directory and its rights")
		return
	}
	if len(m.Syncs) == 0 {
		return
	}
	seen := fmt.Sprintf("half of %d syncs took up to %s, 99 of 100 up to %s, the longest %s", len(m.Syncs), short(m.Late(50)), short(m.Late(99)), short(m.Late(100)))
	const why = "each write waits for the syncs of a majority of the members"
	const do = "use a disk of its own, an SSD that keeps what it was told at a loss of power, and not one over a network"
	switch {
	case m.Late(99) >= lateSync:
		d.say(Warning, check, m.Dir, seen, why+", and a leader whose disk stalls is replaced", do)
	case m.Late(50) >= slowSync:
		d.say(Note, check, m.Dir, seen, why, do)
	default:
		d.say(OK, check, m.Dir, seen, "", "")
	}
}

// kind judges the file system.
func (m *Machine) kind(d *diagnosis) {
	switch m.FileSystem {
	case "tmpfs":
		d.say(Problem, "file system", m.Dir, "it is in memory (tmpfs)", "all is lost when the machine is restarted: a server that comes back without what it has acknowledged is shut out", "use a disk")
	case "nfs", "smb", "fuse":
		d.say(Warning, "file system", m.Dir, "it is of the kind "+m.FileSystem, "it may confirm syncs that no disk has, and its stalls are those of a network", "use a disk of this machine")
	}
}
