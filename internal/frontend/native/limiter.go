package native

import "sync/atomic"

const (
	// requestOverhead is what a request counts for beyond its key and value, in bytes:
	// about what it costs in memory.
	requestOverhead = 256
	// shareFactor is how many times as much as is left a client and its address may have.
	shareFactor = 3
	// keptBack is which part of a bound is for those who have no more than an even share, or
	// one thing.
	keptBack = 4
	// oneThing is which part of what is left one thing may be there, with all that its address
	// has, and evenFactor how many times as much as is left the address may have of a client
	// with an even share.
	oneThing   = 4
	evenFactor = 5
)

// flow counts things in progress, and their bytes, against a bound.
type flow struct {
	max    bound
	even   bound // of the server's: what each client would get if there were as many as may be
	things atomic.Int64
	bytes  atomic.Int64
}

// bound is how many things there may be, and how many bytes.
type bound struct{ things, bytes int64 }

// over divides a bound, times multiplies it.
func (b bound) over(n int64) bound  { return bound{b.things / n, b.bytes / n} }
func (b bound) times(n int64) bound { return bound{b.things * n, b.bytes * n} }

// exceeds tells whether there is more than a bound allows.
func (b bound) exceeds(most bound) bool { return b.things > most.things || b.bytes > most.bytes }

// add counts things in, or out, and returns what there is now.
func (f *flow) add(things, bytes int64) bound {
	return bound{f.things.Add(things), f.bytes.Add(bytes)}
}

// within tells whether now is allowed. One thing always is, however large.
func (f *flow) within(now bound) bool {
	return now.things <= 1 || !now.exceeds(f.max)
}

// account is where one client's things count: for itself, for the address that it
// connects from, and for the server. The address has no bound of its own.
//
// All that the client has and all that its address has may be three times what the server
// has left: the more ask for much, the less each gets (dynamic thresholds: Choudhury and
// Hahne, IEEE/ACM Transactions on Networking 6(2), 1998). So one address alone gets three
// quarters of the bound. The last quarter is for clients that have no more than an even
// share, and for one large thing at a time of those whose address has little.
//
// A client gets its even share unless its address has far more than is left: many clients
// of one address, small as they are, must not add up to everything.
type account struct {
	client, source, server *flow
	refused                func() // called for each thing that is not let in; may be nil
}

// verdict says whose bound does not allow what was asked.
type verdict uint8

const (
	allowed verdict = iota
	overClient
	overServer
)

// enter counts one thing in, unless that is too much.
func (a *account) enter(bytes int64) verdict { return a.take(1, bytes) }

// leave counts one thing out.
func (a *account) leave(bytes int64) { a.give(1, bytes) }

// grow adds bytes to a thing that is counted in, unless that is too much.
func (a *account) grow(bytes int64) verdict { return a.take(0, bytes) }

// shrink takes bytes of a thing that stays.
func (a *account) shrink(bytes int64) { a.give(0, bytes) }

func (a *account) take(things, bytes int64) verdict {
	client, source, server := a.client.add(things, bytes), a.source.add(things, bytes), a.server.add(things, bytes)
	v := allowed
	switch {
	case !a.client.within(client):
		v = overClient
	case !a.server.within(server) || server.things > 1 && a.unfair(client, source, server):
		v = overServer
	}
	if v != allowed {
		a.give(things, bytes)
		if a.refused != nil {
			a.refused()
		}
	}
	return v
}

// unfair tells whether the client has more than it should, since others need it.
func (a *account) unfair(client, source, server bound) bool {
	most, even := a.server.max, a.server.even
	left := bound{most.things - server.things, most.bytes - server.bytes}
	both := bound{client.things + source.things, client.bytes + source.bytes}
	switch {
	case !client.exceeds(even):
		return source.exceeds(even) && source.exceeds(left.times(evenFactor))
	case server.exceeds(bound{most.things - most.things/keptBack, most.bytes - most.bytes/keptBack}):
		return client.things > 1 || both.exceeds(left.over(oneThing))
	default:
		return both.exceeds(left.times(shareFactor))
	}
}

func (a *account) give(things, bytes int64) {
	a.client.add(-things, -bytes)
	a.source.add(-things, -bytes)
	a.server.add(-things, -bytes)
}
