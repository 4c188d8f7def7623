package clients

import (
	"fmt"
	"testing"
)

// fill lets a client have as much as it gets, in things of that many bytes.
func (cl *Client) fill(bytes int64) (items int64) {
	for cl.Requests.Enter(bytes) == Allowed {
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
			p := quietPort(Limits{})
			var all []*Client
			for i := range tc.greedy {
				all = append(all, p.add(nil, nil, fmt.Sprint("greedy", i%tc.sources)))
			}
			for range 3 { // what one gives up another takes
				for _, cl := range all {
					cl.fill(tc.bytes)
				}
			}
			if n, b := p.requests.items.Load(), p.requests.bytes.Load(); n > p.limits.Requests || b > p.limits.RequestBytes {
				t.Errorf("%d things of %d bytes in progress", n, b)
			}
			least := min(p.requests.Even.Items, p.requests.Even.Bytes/300)
			for _, of := range []string{"another", "greedy0"} {
				if n := p.add(nil, nil, of).fill(300); n < least {
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
				p := quietPort(Limits{})
				for _, bytes := range pieces {
					for i := range p.limits.Connections / len(pieces) {
						p.add(nil, nil, fmt.Sprint("greedy", i%addresses)).fill(bytes)
					}
				}
				if p.add(nil, nil, "another").Requests.Enter(1<<20+256) != Allowed {
					t.Errorf("a large request is refused: %d bytes of %d are in progress", p.requests.bytes.Load(), p.limits.RequestBytes)
				}
			})
		}
	}
}

func TestOneAddressGetsMostOfWhatThereIs(t *testing.T) {
	p := quietPort(Limits{})
	for range 100 {
		p.add(nil, nil, "a").fill(1 << 20)
	}
	if b := p.requests.bytes.Load(); b < p.limits.RequestBytes*7/10 {
		t.Errorf("one address alone gets %d bytes of %d", b, p.limits.RequestBytes)
	}
	n := int64(0)
	for range 3 * p.limits.Connections / 2 { // each with one stream
		if p.add(nil, nil, "a").streams.Enter(0) == Allowed {
			n++
		}
	}
	if n < int64(p.limits.Connections) {
		t.Errorf("one address alone gets %d streams, with %d connections", n, p.limits.Connections)
	}
}

func TestAccountsAreEvenInTheEnd(t *testing.T) {
	p := quietPort(Limits{})
	cl := p.add(nil, nil, "a")
	n := cl.fill(1 << 20)
	for range n {
		cl.Requests.Leave(1 << 20)
	}
	for name, f := range map[string]*Limiter{"client": cl.Requests.Client, "source": cl.Requests.Source, "server": cl.Requests.Server} {
		if n, b := f.items.Load(), f.bytes.Load(); n != 0 || b != 0 {
			t.Errorf("%s: %d things, %d bytes", name, n, b)
		}
	}
	if p.surplus.requests.Count() != 1 {
		t.Errorf("%d refusals are counted", p.surplus.requests.Count())
	}
}
