package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"balsa.example/internal/terminal"
)

const (
	defaultWatchInterval = time.Second
	// leastWatchInterval bounds what looking costs the servers.
	leastWatchInterval = 100 * time.Millisecond
)

// statusWatch shows the servers again and again.
type statusWatch struct {
	look     func(context.Context) []nodeStatus // asks all, until the context ends
	verdict  func([]nodeStatus) error
	interval time.Duration
	json     bool
	out      io.Writer
	terminal *terminal.Terminal
	resized  <-chan os.Signal // tells that the terminal has another size; may be nil

	last map[string]*nodeStatus // by id, of those that have answered
	// titled says that the title of appended lines is written.
	titled bool
}

// run shows them until ctx ends, or nobody reads any more.
func (w *statusWatch) run(ctx context.Context) (err error) {
	show := w.append
	switch {
	case w.json:
		show = w.appendJSON
	case w.terminal.IsSeen():
		screen, err := w.terminal.Open()
		if err != nil {
			return err
		}
		defer screen.Close()
		show = func(now time.Time, nodes []nodeStatus) error { return screen.Draw(w.picture(now, nodes)) }
	}
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, w.interval)
		nodes := w.look(asking)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		w.rate(nodes)
		now := time.Now()
		for waiting := true; waiting; {
			if err := show(now, nodes); err != nil {
				return err
			}
			select {
			case <-tick.C:
				waiting = false
			case <-w.resized:
				waiting = w.terminal.IsSeen() && !w.json
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// rate adds to each server what it has done since the last look at it.
func (w *statusWatch) rate(nodes []nodeStatus) {
	present := make(map[string]*nodeStatus, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		if n.Error != "" || n.ID == "" {
			continue
		}
		n.Rates = ratesBetween(w.last[n.ID], n)
		present[n.ID] = n
	}
	w.last = present
}

// picture is what a terminal shows.
func (w *statusWatch) picture(now time.Time, nodes []nodeStatus) []string {
	paint := w.terminal.Paint
	lines := []string{
		paint(terminal.Faint, fmt.Sprintf("%s  every %s  Ctrl-C ends", now.Format(time.TimeOnly), w.interval)),
		w.summary(nodes), "",
	}
	lines = append(lines, liveTable(nodes, w.terminal.Size().Columns, paint)...)
	for i, note := range statusNotes(nodes) {
		if i == 0 {
			lines = append(lines, "")
		}
		lines = append(lines, paint(terminal.Yellow, note))
	}
	return lines
}

// summary says in one line whether the cluster serves.
func (w *statusWatch) summary(nodes []nodeStatus) string {
	if err := w.verdict(nodes); err != nil {
		return w.terminal.Paint(terminal.Red, oneLine(err))
	}
	leader, asked, answer := leaderOf(nodes), 0, 0
	for _, n := range nodes {
		if n.Endpoint != "" {
			asked++
		}
		if n.Error == "" {
			answer++
		}
	}
	return terminal.Clean(fmt.Sprintf("%s leads in term %d; %d of %d servers answer", leader.Name, leader.Term, answer, asked))
}

// append adds lines, for those who read later.
func (w *statusWatch) append(now time.Time, nodes []nodeStatus) error {
	table := liveTable(nodes, 0, func(_ terminal.Style, text string) string { return text })
	notes := statusNotes(nodes)
	if err := w.verdict(nodes); err != nil {
		notes = append(notes, oneLine(err))
	}
	var b strings.Builder
	for i, line := range append(table, notes...) {
		at := now.Format(time.TimeOnly)
		if i == 0 {
			if at = "TIME    "; w.titled {
				continue
			}
		}
		fmt.Fprintf(&b, "%s  %s\n", at, line)
	}
	w.titled = true
	_, err := io.WriteString(w.out, b.String())
	return err
}

func (w *statusWatch) appendJSON(now time.Time, nodes []nodeStatus) error {
	what := ""
	if err := w.verdict(nodes); err != nil {
		what = oneLine(err)
	}
	return writeJSON(w.out, struct {
		Time  time.Time    `json:"time"`
		Error string       `json:"error,omitempty"` // why the cluster does not serve
		Nodes []nodeStatus `json:"nodes"`
	}{now, what, nodes})
}

// statusNotes are the lines below the table.
func statusNotes(nodes []nodeStatus) (lines []string) {
	var b strings.Builder
	writeNotes(&b, nodes)
	for line := range strings.Lines(b.String()) {
		lines = append(lines, terminal.Clean(strings.TrimSuffix(line, "\n")))
	}
	return lines
}
