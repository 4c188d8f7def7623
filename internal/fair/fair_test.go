package fair

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crowd takes slots and notes who loses them.
type crowd struct {
	*Slots
	evicted []string
}

func (c *crowd) take(source, name string) *Slot {
	return c.Take(source, func() { c.evicted = append(c.evicted, name) })
}

func (c *crowd) lost() string {
	defer func() { c.evicted = nil }()
	return strings.Join(c.evicted, " ")
}

func TestWhoHasMostGivesWayToWhoHasLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{Slots: NewSlots(4, time.Hour)}
		var slots []*Slot
		for i := range 4 {
			slots = append(slots, c.take("greedy", fmt.Sprint("g", i)))
			time.Sleep(time.Second)
		}
		slots[0].Used() // so that the second one is idle longest
		time.Sleep(time.Second)
		if c.take("greedy", "g4") != nil || c.lost() != "" {
			t.Error("a source that has all got one more")
		}
		if c.take("a", "a0") == nil || c.lost() != "g1" {
			t.Error("a newcomer was kept out, or another than the idlest place was freed for it")
		}
		if c.take("b", "b0") == nil || c.lost() != "g2" {
			t.Error("a second newcomer was kept out")
		}
		if c.take("a", "a1") != nil || c.lost() != "" {
			t.Error("a source got more than its share")
		}
		if s := c.Stats(); s != (Stats{Max: 4, Taken: 4, Refused: 2, Evicted: 2}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestAnIdlePlaceGivesWayToItsOwnSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{Slots: NewSlots(2, 10*time.Second)}
		busy := c.take("a", "busy")
		c.take("a", "idle")
		time.Sleep(9 * time.Second)
		busy.Used()
		if c.take("a", "new") != nil {
			t.Error("a place was freed that had been used 9 s ago")
		}
		time.Sleep(time.Second)
		if c.take("a", "new") == nil || c.lost() != "idle" {
			t.Error("nobody, or the wrong one, gave way")
		}
	})
}

func TestAPlaceIsLeftOnce(t *testing.T) {
	c := &crowd{Slots: NewSlots(1, 0)}
	first := c.take("a", "first")
	second := c.take("a", "second")
	first.Leave() // it was evicted: there is nothing to leave
	first.Leave()
	if s := c.Stats(); s.Taken != 1 {
		t.Errorf("%d taken", s.Taken)
	}
	second.Leave()
	if s := c.Stats(); s.Taken != 0 || len(c.sources) != 0 {
		t.Errorf("%d taken, %d sources", s.Taken, len(c.sources))
	}
}

func TestSource(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1:80":               "10.0.0.1",
		"[::ffff:10.0.0.1]:80":      "10.0.0.1",
		"[2001:db8:1:2:3::4%e0]:80": "2001:db8:1:2::/64",
		"pipe":                      "pipe",
	} {
		if got := Source(testAddr(address)); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

type testAddr string

func (a testAddr) Network() string { return "test" }
func (a testAddr) String() string  { return string(a) }

func TestListenerClosesSurplusAtOnce(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	surplus := 0
	l := &Listener{Listener: inner, Slots: NewSlots(1, time.Hour)}
	l.Slots.OnSurplus = func(string) { surplus++ }
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	refused := dial()
	refused.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := refused.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("surplus was not closed: %v", err)
	}
	first.Close()
	first.Close()
	dial()
	(<-accepted).Close()
	l.Close()
	<-accepted
	if surplus != 1 || l.Slots.Stats().Taken != 0 {
		t.Errorf("%d surplus, %+v", surplus, l.Slots.Stats())
	}
}
