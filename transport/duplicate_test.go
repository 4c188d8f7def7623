package transport

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// upDuplicate starts a second process of a node, at an address of its own.
func (w *pipeNet) upDuplicate(n *node) *node {
	w.mu.Lock()
	address := w.listeners[n.self.id.String()]
	w.mu.Unlock()
	return w.up(n.self.id, func(c *Config) {
		c.Listener = w.listen("second")
		w.mu.Lock()
		defer w.mu.Unlock()
		w.listeners[n.self.id.String()] = address
	})
}

// Two processes on one data directory, or on a copy of it: whoever came first stays, the
// other one is shut out, and all three say so. When the first one ends the second gets in.
func TestASecondProcessOfANodeIsShutOut(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, first := w.up(1), w.up(2)
		time.Sleep(time.Second)
		second := w.upDuplicate(first)
		a.took()
		first.took()
		for range 600 {
			time.Sleep(time.Second)
			a.say(2, 1)
			first.say(1, 2)
			second.say(1, 3)
		}
		if got := a.hears(); got != strings.TrimSuffix(strings.Repeat("2 ", 600), " ") {
			t.Errorf("node 1 hears %s", got)
		}
		if got := first.hears(); got != strings.TrimSuffix(strings.Repeat("1 ", 600), " ") {
			t.Errorf("the first process hears %s", got)
		}
		if got := second.hears(); got != "" {
			t.Errorf("the second process hears %s", got)
		}
		if s := second.status(1); s.Connected || s.Inbound || !strings.Contains(s.LastError, "n2 runs twice") {
			t.Errorf("the second process sees %+v", s)
		}
		for n, says := range map[*node]string{
			a: "n2 runs twice", first: "this node runs twice", second: "n2 runs twice",
		} {
			if lines := strings.Count(n.logged(), says); lines < 1 || lines > 25 {
				t.Errorf("%q is logged %d times in ten minutes: %.2000s", says, lines, n.logged())
			}
		}

		first.Close()
		time.Sleep(2 * time.Second)
		second.say(1, 4)
		if got := a.hears(); got != "4" {
			t.Errorf("after the first process has ended node 1 hears %q", got)
		}
	})
}

// A node that is started again is no duplicate, whether its connections were closed or nothing
// arrives on them any more. No node calls it one.
func TestANodeThatIsStartedAgainIsNoDuplicate(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1)
		for range 20 {
			b := w.up(2)
			time.Sleep(time.Second)
			if s := a.status(2); !s.Connected || !s.Inbound {
				t.Fatalf("status: %+v", s)
			}
			b.Close()
		}
		// A process that says nothing any more, whose connections stay.
		l := w.listen("n2")
		time.Sleep(time.Second)
		mute := w.rawAccept(l, 2)
		w.rawDial(a, 2, forMessages)
		synctest.Wait()
		time.Sleep(idleIntervals * keepaliveInterval)
		b := w.up(2)
		time.Sleep(time.Second)
		if s := a.status(2); !s.Connected || !s.Inbound || !mute.gone() {
			t.Errorf("status: %+v", s)
		}
		b.say(1, 1)
		if got := a.hears(); got != "1" {
			t.Errorf("node 1 hears %q", got)
		}
		if strings.Contains(a.logged(), "twice") {
			t.Errorf("logged: %s", a.logged())
		}
	})
}
