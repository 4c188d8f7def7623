// Package usage tells how much processor time and memory processes use.
package usage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is Linux's unit of time in /proc, on every architecture that Go runs on.
const tick = time.Second / 100

var errBadStat = errors.New("not understood")

// Self is the processor time of this process, user and system.
func Self() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// Of is the processor time of another process, user and system, to a hundredth of a
// second.
func Of(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	d, err := parse(stat)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// parse reads fields 14 and 15 of a process's stat. The name, field 2, stands in
// parentheses and may hold anything.
func parse(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errBadStat
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 13 {
		return 0, errBadStat
	}
	var ticks uint64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return 0, errBadStat
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// Memory is the resident memory of a process in bytes, now and at its most.
func Memory(pid int) (now, peak int64, err error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	status, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	now, peak, err = parseMemory(string(status))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return now, peak, err
}

// parseMemory reads the lines VmRSS and VmHWM of a process's status, which are in kB.
func parseMemory(status string) (now, peak int64, err error) {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &now, "VmHWM": &peak}[name]
		if to == nil {
			continue
		}
		if _, err := fmt.Sscanf(value, "%d kB", to); err != nil {
			return 0, 0, errBadStat
		}
		*to *= 1024
	}
	if now == 0 || peak == 0 { // a process that has ended has neither
		return 0, 0, errBadStat
	}
	return now, peak, nil
}
