package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/terminal"
)

// shared is a buffer that several goroutines write to.
type shared struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

func (s *shared) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Reset()
}

func seenProgram(out io.Writer) *program {
	p := &program{stderr: out, env: noEnv, screen: func() terminal.Size { return terminal.Size{Columns: 40, Rows: 10} }}
	p.result = &result{to: out, live: &p.live}
	return p
}

// On a terminal the line comes after two seconds, changes, gives way to other text, and is gone in the end.
func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out shared
		p := seenProgram(&out)
		read := &transfer{verb: "read", first: "opening"}
		task := p.begin(false, read.text)
		defer task.end()
		sleep := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		sleep(1900 * time.Millisecond)
		if out.String() != "" {
			t.Errorf("after 1.9 s: %q", &out)
		}
		sleep(200 * time.Millisecond)
		if out.String() != "\ropening, 2s\x1b[K" {
			t.Errorf("after 2.1 s: %q", &out)
		}
		out.Reset()
		read.tell(1<<20, 4<<20)
		sleep(time.Second)
		if !strings.HasSuffix(out.String(), "\rread 1.0MiB of 4.0MiB, about 9s left\x1b[K") || strings.Contains(out.String(), "\n") {
			t.Errorf("in the midst: %q", &out)
		}
		out.Reset()
		fmt.Fprintln(p.result, "damage")
		if out.String() != "\r\x1b[Kdamage\n" {
			t.Errorf("other text: %q", &out)
		}
		sleep(200 * time.Millisecond)
		out.Reset()
		task.end()
		task.end()
		if out.String() != "\r\x1b[K" {
			t.Errorf("in the end: %q", &out)
		}
		sleep(time.Minute)
		if out.String() != "\r\x1b[K" {
			t.Errorf("behind the end: %q", &out)
		}
	})
}

// A note about a user that is there already takes the line of the import away: it is not written behind it.
func TestNoteBesideALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out shared
		p := seenProgram(&out)
		defer p.waiting("importing").end()
		time.Sleep(3100 * time.Millisecond)
		out.Reset()
		i := &userImport{source: &etcdSource{from: 1, note: p.note}}
		if err := i.record(t.Context(), "role", "r", map[string]bool{"r": true}, nil); err != nil {
			t.Fatal(err)
		}
		if want := "\r\x1b[Kbalsa: role \"r\" is there already, and stays as it is\n"; out.String() != want {
			t.Errorf("%q, want %q", &out, want)
		}
	})
}

// An export tells no more how far it is when its keys are written: the line about the whole comes then.
func TestProgressOfAnExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told shared
		p := &program{stderr: &told, stdout: io.Discard, result: &result{to: io.Discard}, env: noEnv}
		keys := func(yield func(clerk.KV, error) bool) {
			time.Sleep(progressInterval + time.Millisecond)
			yield(clerk.KV{Key: "k"}, nil)
		}
		done := &progress{verb: "exported"}
		if err := p.exportKeys(keys, done); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if want := "exported 0 keys, 0 B so far\n"; told.String() != want || done.keys.Load() != 1 {
			t.Errorf("%q and %s, want %q", &told, done, want)
		}
	})
}

// A wait for an answer is told of on a terminal only, and not beside a larger task.
func TestProgressOfAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out shared
		n := connection{timeout: 5 * time.Second}
		_, done := n.within(t.Context(), &program{stderr: &out, env: noEnv})
		time.Sleep(6 * time.Second)
		done()
		if out.String() != "" {
			t.Errorf("without a terminal: %q", &out)
		}
		p := seenProgram(&out)
		_, done = n.within(t.Context(), p)
		time.Sleep(3100 * time.Millisecond)
		done()
		if !strings.Contains(out.String(), "\rno answer yet after 3s; it gives up aft\x1b[K") || !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Errorf("on a terminal: %q", &out)
		}
		out.Reset()
		larger := p.waiting("reading")
		_, done = n.within(t.Context(), p)
		time.Sleep(3100 * time.Millisecond)
		done()
		larger.end()
		if strings.Contains(out.String(), "no answer") || !strings.Contains(out.String(), "reading, 3s") {
			t.Errorf("beside a larger task: %q", &out)
		}
	})
}

// Who waits for a lock is told so, and the line is gone when it has it.
func TestProgressOfAWaitForALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out shared
		take := func(context.Context) error {
			time.Sleep(3100 * time.Millisecond)
			return nil
		}
		if err := new(holding).acquire(t.Context(), seenProgram(&out), new(connection), `lock "x"`, take); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "\rlock \"x\": not got yet, after 3s\x1b[K") || !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Errorf("%q", &out)
		}
	})
}
