package tracing

import (
	"strconv"
	"time"
	"unicode/utf8"

	"balsa.example/rsm"
)

// Request is one request that has ended, and where its time went.
type Request struct {
	API     string // native or etcd
	Kind    string // put, range
	Key     string // the first one that it names, shortened; empty: none
	Bytes   int64  // about what it took in memory
	Client  string // address
	User    string // empty: nobody
	Outcome string // the code of its reply
	Failed  bool   // the outcome is no answer to what was asked
	Parent  Parent
	Sampled bool // Samples has said so of the Parent
	// Entry is the entry of the log that held a write; zero: it was a read, or was not executed here.
	Entry rsm.EntryID
	// Leads tells whether this server led when the request ended.
	Leads        bool
	Began, Ended time.Time
	Phases       []Phase
}

// Phase is a part of the way of a request. Phases may overlap: the own disk works while the others do.
type Phase struct {
	Name     string
	From, To time.Time
}

// The names of phases.
const (
	// Parked: the replies to earlier requests of the client took all room.
	Parked = "parked"
	// Propose: the leader's loop was busy, or took the request, until it was in the log.
	Propose = "propose"
	// Forward: it was on its way to the leader, and came back as an entry of the log.
	Forward = "forward"
	// DiskQueue: the own disk had not begun to write it.
	DiskQueue = "disk_queue"
	// Sync: the own disk wrote and synced it.
	Sync = "sync"
	// Commit: it was in the log, and not known to be on the disks of a majority.
	Commit = "commit"
	// ApplyQueue: the state machine had not begun with the batch that it is in.
	ApplyQueue = "apply_queue"
	// Apply: the state machine executed what is before it in its batch, and itself.
	Apply = "apply"
	// Fresh: a read waited until the state was fresh enough.
	Fresh = "fresh"
	// Read: a read waited for its turn, and was read.
	Read = "read"
	// Reply: the reply waited until the client took it. By the etcd API that is not known.
	Reply = "reply"
	// NoEntry: a write that did not end with an entry of the log: it was refused, or nobody knows where it is.
	NoEntry = "no_entry"
)

// Times are those that a face knows of a request. Done is when its outcome was known. Started is when
// it was handed to the replica, Fresh when the state was fresh enough for a read; zero: not known.
type Times struct{ Began, Started, Fresh, Done, Ended time.Time }

// Begin is when the replica got the request.
func (t *Times) begin() (from time.Time, parked []Phase) {
	if t.Started.After(t.Began) {
		return t.Started, []Phase{{Parked, t.Began, t.Started}}
	}
	return t.Began, nil
}

// OfRead returns the phases of a read.
func OfRead(t Times) []Phase {
	from, all := t.begin()
	if fresh := t.Fresh; !fresh.IsZero() {
		all = append(all, Phase{Fresh, from, fresh}, Phase{Read, fresh, t.Done})
	} else {
		all = append(all, Phase{Fresh, from, t.Done})
	}
	if t.Ended.After(t.Done) {
		all = append(all, Phase{Reply, t.Done, t.Ended})
	}
	return all
}

// OfWrite returns the phases of a write whose entry has these stages. forwarded: another server led.
// Stages that are not known are left out.
func OfWrite(t Times, s rsm.Stages, forwarded bool) []Phase {
	from, all := t.begin()
	add := func(name string, from, to time.Time) {
		if !from.IsZero() && !to.IsZero() && !to.Before(from) {
			all = append(all, Phase{name, from, to})
		}
	}
	first := Propose
	if forwarded {
		first = Forward
	}
	if s.Logged.IsZero() && s.Committed.IsZero() {
		add(NoEntry, from, t.Done)
	}
	add(first, from, s.Logged)
	add(DiskQueue, s.Logged, s.Writing)
	add(Sync, s.Writing, s.Synced)
	add(Commit, s.Logged, s.Committed)
	add(ApplyQueue, s.Committed, s.Applying)
	add(Apply, s.Applying, t.Done)
	if t.Ended.After(t.Done) {
		add(Reply, t.Done, t.Ended)
	}
	return all
}

// MaxKey is how many bytes of a key are told.
const MaxKey = 64

// KeyText is a key for the log: as it is, or quoted if it would not be readable. cut says that this is
// only its beginning.
func KeyText(key string, cut bool) string {
	for i := range min(utf8.UTFMax, len(key)+1) { // a character may have been cut in two
		if whole := key[:len(key)-i]; cut && utf8.ValidString(whole) {
			key = whole
			break
		}
	}
	text := strconv.Quote(key)
	if plain := text[1 : len(text)-1]; plain == key {
		text = plain
	}
	if cut {
		text += "..."
	}
	return text
}
