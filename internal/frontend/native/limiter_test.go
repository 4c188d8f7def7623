package native

import (
	"fmt"
	"testing"
)

// fill lets a client have as much as it gets, in things of that many bytes.
func (cl *client) fill(bytes int64) (items int64) {
	for cl.requests.enter(bytes) == allowed {
		items++
	}
	return items
}

func TestGreedyClientsLeaveRoomForOthers(t *testing.T) {
	for _, tc := range []struct {
		name            string
		greedy, sources int   // clients and the addresses that they share
		bytes           int64 // of each of their things
	}{
		{"one client, large things", 1, 1, 1 << 20},
		{"one client, small things", 1, 1, 300},
		{"many clients of one address", 100, 1, 1 << 20},
		{"many clients of one address, small things", 100, 1, 300},
		{"many clients of ten addresses", 100, 10, 1 << 20},
		{"many addresses", 100, 100, 300},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := quietClients()
			var all []*client
			for i := range tc.greedy {
				all = append(all, c.add(nil, nil, fmt.Sprint("greedy", i%tc.sources)))
			}
			for range 3 { // what one gives up another takes
				for _, cl := range all {
					cl.fill(tc.bytes)
				}
			}
			if n, b := c.requests.items.Load(), c.requests.bytes.Load(); n > c.limits.Requests || b > c.limits.RequestBytes {
				t.Errorf("%d things of %d bytes in progress", n, b)
			}
			least := min(c.requests.even.items, c.requests.even.bytes/300)
			for _, of := range []string{"another", "greedy0"} {
				if n := c.add(nil, nil, of).fill(300); n < least {
					t.Errorf("a newcomer from %s gets %d requests in", of, n)
				}
			}
		})
	}
}

// Whatever a greedy address has, and in whatever pieces, another gets the largest requests
// in: at least one at a time.
func TestGreedyClientsLeaveRoomForLargeRequestsOfOthers(t *testing.T) {
	for _, addresses := range []int{1, 4} {
		for name, pieces := range map[string][]int64{
			"large things, then smaller ones": {1 << 20, 256 << 10, 64<<10 + 300, 300},
			"even shares":                     {30 << 10},
		} {
			t.Run(fmt.Sprint(addresses, " addresses, ", name), func(t *testing.T) {
				c := quietClients()
				for _, bytes := range pieces {
					for i := range c.limits.Connections / len(pieces) {
						c.add(nil, nil, fmt.Sprint("greedy", i%addresses)).fill(bytes)
					}
				}
				if c.add(nil, nil, "another").requests.enter(1<<20+requestOverhead) != allowed {
					t.Errorf("a large request is refused: %d bytes of %d are in progress", c.requests.bytes.Load(), c.limits.RequestBytes)
				}
			})
		}
	}
}

func TestOneAddressGetsMostOfWhatThereIs(t *testing.T) {
	c := quietClients()
	for range 100 {
		c.add(nil, nil, "a").fill(1 << 20)
	}
	if b := c.requests.bytes.Load(); b < c.limits.RequestBytes*7/10 {
		t.Errorf("one address alone gets %d bytes of %d", b, c.limits.RequestBytes)
	}
	n := int64(0)
	for range 3 * c.limits.Connections / 2 { // each with one stream
		if c.add(nil, nil, "a").streams.enter(0) == allowed {
			n++
		}
	}
	if n < int64(c.limits.Connections) {
		t.Errorf("one address alone gets %d streams, with %d connections", n, c.limits.Connections)
	}
}

func TestAccountsAreEvenInTheEnd(t *testing.T) {
	c := quietClients()
	cl := c.add(nil, nil, "a")
	n := cl.fill(1 << 20)
	for range n {
		cl.requests.leave(1 << 20)
	}
	for name, f := range map[string]*limiter{"client": cl.requests.client, "source": cl.requests.source, "server": cl.requests.server} {
		if n, b := f.items.Load(), f.bytes.Load(); n != 0 || b != 0 {
			t.Errorf("%s: %d things, %d bytes", name, n, b)
		}
	}
	if c.surplus.requests.Count() != 1 {
		t.Errorf("%d refusals are counted", c.surplus.requests.Count())
	}
}
