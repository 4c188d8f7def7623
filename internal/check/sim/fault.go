package sim

import (
	"fmt"
	"strings"
)

// Fault is a kind of fault. Some are rates that hold throughout the safety phase. The
// others are injected at certain times: see Injection.
type Fault uint8

const (
	Loss Fault = iota
	Duplicate
	Reorder
	Delay
	ClientLoss
	FullQueue // of pending entries: ErrBusy

	Partition     // symmetric, any split
	OneWay        // all messages to a node are lost, or all from it
	Bridge        // two groups that share one node
	Link          // two nodes cannot talk to each other
	Flap          // a link comes and goes
	LoseFollowers // a leader loses its followers one by one, and they elect another
	Kill          // of a process: what it wrote stays
	PowerLoss     // any part of what was not synced is lost
	Blackout      // power loss of all nodes at once
	InstallCrash
	Reset // connections break, and both ends hear of it
	IOError
	DiskFull
	Corrupt
	Pause
	Clock
	SlowDisk
	SlowNode
	Transfer
	HungDisk    // writes do not end, for seconds
	Rot         // bits of the files of a running machine change
	Minority    // a majority stays healthy and connected, and anything happens to the others
	Members     // come and go
	Emptied     // a directory is lost, and a server started with an empty one
	HungMachine // a state machine finishes nothing, for seconds

	numFaults
)

var faultNames = [numFaults]string{
	"loss", "duplicate", "reorder", "delay", "client-loss", "full-queue",
	"partition", "one-way", "bridge", "link", "flap", "lose-followers", "kill", "power-loss", "blackout", "install-crash", "reset",
	"io-error", "disk-full", "corrupt", "pause", "clock", "slow-disk", "slow-node", "transfer", "hung-disk", "rot", "minority", "members", "emptied", "hung-machine",
}

func (f Fault) String() string {
	if f < numFaults {
		return faultNames[f]
	}
	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// scheduled tells whether f is injected at certain times.
func (f Fault) scheduled() bool { return f >= Partition }

// AllFaults returns every kind.
func AllFaults() (all []Fault) {
	for f := range numFaults {
		all = append(all, f)
	}
	return all
}

// ParseFaults reads a list of names with commas, or none.
func ParseFaults(list string) (faults []Fault, err error) {
	if list == "none" {
		return []Fault{}, nil
	}
	for _, name := range strings.Split(list, ",") {
		found := false
		for f := range numFaults {
			if found = faultNames[f] == strings.TrimSpace(name); found {
				faults = append(faults, f)
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("no fault is called %q; there are %s", name, strings.Join(faultNames[:], ", "))
		}
	}
	return faults, nil
}

// FaultCounts counts faults by kind.
type FaultCounts [numFaults]int

func (c FaultCounts) String() string {
	var b strings.Builder
	for f, n := range c {
		if n > 0 {
			fmt.Fprintf(&b, "%s %d, ", Fault(f), n)
		}
	}
	return strings.TrimSuffix(b.String(), ", ")
}
