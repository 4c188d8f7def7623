package sim

import (
	"fmt"
	"io"
	"time"

	"balsa.example/raft"
)

// trace keeps the last events as lines to read, and a hash over all events: equal runs have
// equal hashes.
type trace struct {
	hash  uint64
	count uint64
	lines []line // a ring
	all   io.Writer
}

// tracedLines is how many of the last lines are kept.
const tracedLines = 1 << 11

// line is one event. It is formatted only when it is printed.
type line struct {
	at      Instant
	node    raft.NodeID // None: of no node
	verb    string
	message raft.Message
	args    [3]uint64
	text    string
}

func (l *line) String() string {
	node := "  "
	if l.node != raft.None {
		node = l.node.String()
	}
	s := fmt.Sprintf("%12.6f  %s  %-10s", l.at.Seconds(), node, l.verb)
	switch {
	case l.message != nil:
		return s + " " + l.message.String()
	case l.text != "":
		return s + " " + l.text
	}
	return s + fmt.Sprintf(" %d %d %d", l.args[0], l.args[1], l.args[2])
}

func newTrace(all io.Writer) trace {
	return trace{hash: 14695981039346656037, all: all, lines: make([]line, 0, tracedLines)}
}

func (t *trace) fold(x uint64) {
	t.hash = (t.hash ^ x) * 1099511628211
	t.hash ^= t.hash >> 29
}

func (t *trace) add(l line) {
	t.count++
	t.fold(uint64(l.at))
	t.fold(uint64(l.node))
	for i := range len(l.verb) {
		t.fold(uint64(l.verb[i]))
	}
	if t.all != nil {
		fmt.Fprintln(t.all, l.String())
	}
	if len(t.lines) < tracedLines {
		t.lines = append(t.lines, l)
	} else {
		t.lines[t.count%tracedLines] = l
	}
}

// numbers adds an event of a node with the numbers that identify it.
func (t *trace) numbers(at Instant, node raft.NodeID, verb string, args ...uint64) {
	l := line{at: at, node: node, verb: verb}
	copy(l.args[:], args)
	for _, a := range args {
		t.fold(a)
	}
	t.add(l)
}

// text adds an event as text, which must be the same in each run of the seed.
func (t *trace) text(at Instant, node raft.NodeID, verb, format string, args ...any) {
	l := line{at: at, node: node, verb: verb, text: fmt.Sprintf(format, args...)}
	for i := range len(l.text) {
		t.fold(uint64(l.text[i]))
	}
	t.add(l)
}

func (t *trace) message(at Instant, node raft.NodeID, verb string, m raft.Message) {
	h := m.Head()
	t.fold(uint64(m.Kind()))
	t.fold(uint64(h.From)<<32 | uint64(h.To))
	t.fold(uint64(h.Term))
	switch m := m.(type) {
	case *raft.AppendEntries:
		t.fold(uint64(m.PrevIndex))
		t.fold(uint64(len(m.Entries)))
		t.fold(uint64(m.Commit))
	case *raft.AppendEntriesReply:
		t.fold(uint64(m.Match))
	case *raft.InstallSnapshot:
		t.fold(uint64(m.Meta.Index))
	case *raft.ReadIndex:
		t.fold(uint64(m.ID))
	}
	t.add(line{at: at, node: node, verb: verb, message: m})
}

// last returns up to n lines, oldest first.
func (t *trace) last(n int) (lines []string) {
	for i := range t.lines {
		l := &t.lines[i]
		if len(t.lines) == tracedLines {
			l = &t.lines[(t.count+1+uint64(i))%tracedLines]
		}
		lines = append(lines, l.String())
	}
	return lines[max(0, len(lines)-n):]
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
