package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/loadgen"
	"balsa.example/internal/terminal"
)

const (
	// progressInterval is how often long work tells how far it is, where nobody looks at a terminal.
	progressInterval = 5 * time.Second
	// On a terminal it tells so all the time, from progressQuiet on.
	progressQuiet   = 2 * time.Second
	progressRefresh = 200 * time.Millisecond
)

// task is work that may be long. The standard error tells how far it is: on a terminal in a line that changes
// and goes away, elsewhere in a line now and then.
type task struct {
	terminal *terminal.Terminal
	line     *terminal.Line
	text     func(elapsed time.Duration) string // empty: nothing is told

	over  chan struct{}
	ended sync.WaitGroup

	mu    sync.Mutex
	shown bool // the line is on the terminal
}

// begin begins a task. One that is only told of on a terminal is quiet elsewhere, and while a larger one is
// told of.
func (p *program) begin(onlySeen bool, text func(elapsed time.Duration) string) *task {
	t := p.terminal(p.stderr)
	k := &task{terminal: t, text: text, over: make(chan struct{})}
	interval := progressInterval
	if onlySeen && (!t.IsSeen() || p.live.Load().runs()) {
		return k
	}
	if t.IsSeen() {
		k.line, interval = t.Line(), progressRefresh
		p.live.Store(k)
	}
	k.ended.Go(func() {
		began := time.Now()
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				k.tell(time.Since(began))
			case <-k.over:
				return
			}
		}
	})
	return k
}

func (k *task) tell(elapsed time.Duration) {
	if k.line != nil && elapsed < progressQuiet {
		return
	}
	text := terminal.Clean(k.text(elapsed))
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case text == "":
	case k.line == nil:
		fmt.Fprintln(k.terminal, text)
	default:
		k.line.Show(text)
		k.shown = true
	}
}

// hide takes the line away, so that other text can be written. The next tick shows it again.
func (k *task) hide() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shown {
		k.line.Clear()
		k.shown = false
	}
}

// note writes a line to the standard error, where the line of a task gives way to it.
func (p *program) note(format string, args ...any) error {
	p.live.Load().hide()
	_, err := terminal.Fprintf(p.stderr, format+"\n", args...)
	return err
}

func (k *task) runs() bool {
	if k == nil {
		return false
	}
	select {
	case <-k.over:
		return false
	default:
		return true
	}
}

// end ends the task. It may be called again.
func (k *task) end() {
	if k.runs() {
		close(k.over)
	}
	k.ended.Wait()
	k.hide()
}

// waiting is a task of which no more is known than how long it takes.
func (p *program) waiting(what string) *task {
	return p.begin(false, func(elapsed time.Duration) string { return fmt.Sprintf("%s, %s", what, elapsed.Round(time.Second)) })
}

// progress counts the keys of long work.
type progress struct {
	verb        string // "exported", "imported"
	keys, bytes atomic.Int64
}

// add counts a key that is done.
func (g *progress) add(key string, value []byte) {
	g.keys.Add(1)
	g.bytes.Add(int64(len(key) + len(value)))
}

func (g *progress) String() string {
	return fmt.Sprintf("%s %s keys, %s", g.verb, loadgen.Thousands(g.keys.Load()), bytesText(uint64(g.bytes.Load())))
}

// soFar is the text of a task.
func (g *progress) soFar(time.Duration) string { return g.String() + " so far" }

// transfer counts the bytes of long work.
type transfer struct {
	verb      string // "saved", "read"
	first     string // what is done before there are bytes
	bytes, of atomic.Int64
	// got counts the bytes of all streams that were needed.
	got int64
}

func (t *transfer) tell(bytes, of int64) {
	t.got += max(bytes-t.bytes.Load(), 0)
	t.bytes.Store(bytes)
	t.of.Store(of)
}

// text is that of a task.
func (t *transfer) text(elapsed time.Duration) string {
	bytes, of := t.bytes.Load(), t.of.Load()
	switch {
	case of == 0 && bytes > 0: // how much there is is not known
		return fmt.Sprintf("%s %s so far", t.verb, bytesWord(bytes))
	case of == 0 && t.first != "":
		return fmt.Sprintf("%s, %s", t.first, elapsed.Round(time.Second))
	case of == 0:
		return ""
	}
	text := fmt.Sprintf("%s %s of %s", t.verb, bytesWord(bytes), bytesWord(of))
	if rate := float64(bytes) / elapsed.Seconds(); rate > 0 && of > bytes {
		text += fmt.Sprintf(", about %s left", time.Duration(float64(of-bytes)/rate*float64(time.Second)).Round(time.Second))
	}
	return text
}
