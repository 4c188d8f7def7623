package native

import "sync/atomic"

const (
	// requestOverhead is what a request counts for beyond its key and value, in bytes:
	// about what it costs in memory.
	requestOverhead = 256
	// shareFactor times what the server has left is what a client, and all of its address,
	// may have in progress.
	shareFactor = 3
	// One reservedPart-th of a bound is kept for clients that have no more than an even
	// share, and for single large items.
	reservedPart = 4
	// One item may take one oneItem-th of what is left there, with all that its address has.
	oneItem = 4
	// evenFactor times what is left is what an address may have before its clients lose
	// even their even shares.
	evenFactor = 5
)

// limiter counts items in progress (requests, or streams) and their bytes against a bound.
type limiter struct {
	max   bound
	even  bound // of the server's: what each client would get if there were as many as may be
	items atomic.Int64
	bytes atomic.Int64
}

// bound is a number of items and of bytes.
type bound struct{ items, bytes int64 }

// over divides a bound by n, times multiplies it.
func (b bound) over(n int64) bound  { return bound{b.items / n, b.bytes / n} }
func (b bound) times(n int64) bound { return bound{b.items * n, b.bytes * n} }

// exceeds tells whether there is more than a bound allows.
func (b bound) exceeds(most bound) bool { return b.items > most.items || b.bytes > most.bytes }

// add changes the counts, and returns them.
func (l *limiter) add(items, bytes int64) bound {
	return bound{l.items.Add(items), l.bytes.Add(bytes)}
}

// within tells whether now is within the bound. One item always is, however large.
func (l *limiter) within(now bound) bool {
	return now.items <= 1 || !now.exceeds(l.max)
}

// account is where the items of one client count: for the client, for the address that it
// connects from, and for the server. The address has no bound of its own.
//
// These rules share the bound of the server (dynamic thresholds: Choudhury and Hahne, IEEE/ACM
// Transactions on Networking 6(2), 1998):
//
//  1. What a client and its address have may together be shareFactor times what the server
//     has left. The more clients want much, the less each gets. One address alone gets three
//     quarters of the bound.
//  2. The last quarter is for clients that have no more than an even share, and for one large
//     item at a time of a client whose address has little.
//  3. A client gets its even share, unless its address has evenFactor times what is left:
//     many small clients of one address must not take everything.
type account struct {
	client, source, server *limiter
	refused                func() // called for each item that is refused; may be nil
}

// verdict says whose bound, if any, an item exceeds.
type verdict uint8

const (
	allowed verdict = iota
	overClient
	overServer
)

// enter counts one item more, unless that is over a bound.
func (a *account) enter(bytes int64) verdict { return a.take(1, bytes) }

// leave counts one item less.
func (a *account) leave(bytes int64) { a.give(1, bytes) }

// grow adds bytes to a counted item, unless that is over a bound.
func (a *account) grow(bytes int64) verdict { return a.take(0, bytes) }

// shrink takes bytes from a counted item that stays.
func (a *account) shrink(bytes int64) { a.give(0, bytes) }

func (a *account) take(items, bytes int64) verdict {
	client, source, server := a.client.add(items, bytes), a.source.add(items, bytes), a.server.add(items, bytes)
	v := allowed
	switch {
	case !a.client.within(client):
		v = overClient
	case !a.server.within(server) || server.items > 1 && a.unfair(client, source, server):
		v = overServer
	}
	if v != allowed {
		a.give(items, bytes)
		if a.refused != nil {
			a.refused()
		}
	}
	return v
}

// unfair tells whether the client has more than its share of what others need.
func (a *account) unfair(client, source, server bound) bool {
	most, even := a.server.max, a.server.even
	left := bound{most.items - server.items, most.bytes - server.bytes}
	both := bound{client.items + source.items, client.bytes + source.bytes}
	switch {
	case !client.exceeds(even):
		return source.exceeds(even) && source.exceeds(left.times(evenFactor))
	case server.exceeds(bound{most.items - most.items/reservedPart, most.bytes - most.bytes/reservedPart}):
		return client.items > 1 || both.exceeds(left.over(oneItem))
	default:
		return both.exceeds(left.times(shareFactor))
	}
}

func (a *account) give(items, bytes int64) {
	a.client.add(-items, -bytes)
	a.source.add(-items, -bytes)
	a.server.add(-items, -bytes)
}
