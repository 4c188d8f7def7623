package clients

import "sync/atomic"

const (
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

// Limiter counts items in progress (requests, or streams) and their bytes against a bound.
type Limiter struct {
	Max   Bound
	Even  Bound // of the server's: what each client would get if there were as many as may be
	items atomic.Int64
	bytes atomic.Int64
}

// Bound is a number of items and of bytes.
type Bound struct{ Items, Bytes int64 }

// over divides a bound by n, times multiplies it.
func (b Bound) over(n int64) Bound  { return Bound{b.Items / n, b.Bytes / n} }
func (b Bound) times(n int64) Bound { return Bound{b.Items * n, b.Bytes * n} }

// exceeds tells whether there is more than a bound allows.
func (b Bound) exceeds(most Bound) bool { return b.Items > most.Items || b.Bytes > most.Bytes }

// add changes the counts, and returns them.
func (l *Limiter) add(items, bytes int64) Bound {
	return Bound{l.items.Add(items), l.bytes.Add(bytes)}
}

// Count returns what is in progress.
func (l *Limiter) Count() Bound { return Bound{l.items.Load(), l.bytes.Load()} }

// within tells whether now is within the bound. One item always is, however large.
func (l *Limiter) within(now Bound) bool {
	return now.Items <= 1 || !now.exceeds(l.Max)
}

// Account is where the items of one client count: for the client, for the address that it
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
type Account struct {
	Client, Source, Server *Limiter
	Refused                func() // called for each item that is refused; may be nil
}

// Verdict says whose bound, if any, an item exceeds.
type Verdict uint8

const (
	Allowed Verdict = iota
	OverClient
	OverServer
)

// Enter counts one item more, unless that is over a bound.
func (a *Account) Enter(bytes int64) Verdict { return a.take(1, bytes) }

// Leave counts one item less.
func (a *Account) Leave(bytes int64) { a.give(1, bytes) }

// Grow adds bytes to a counted item, unless that is over a bound.
func (a *Account) Grow(bytes int64) Verdict { return a.take(0, bytes) }

// TryGrow is Grow for an item that is not refused if that is over a bound, but waits.
func (a *Account) TryGrow(bytes int64) Verdict { return a.try(0, bytes) }

// Shrink takes bytes from a counted item that stays.
func (a *Account) Shrink(bytes int64) { a.give(0, bytes) }

func (a *Account) take(items, bytes int64) Verdict {
	v := a.try(items, bytes)
	if v != Allowed && a.Refused != nil {
		a.Refused()
	}
	return v
}

// try is take, of which nothing is told.
func (a *Account) try(items, bytes int64) Verdict {
	client, source, server := a.Client.add(items, bytes), a.Source.add(items, bytes), a.Server.add(items, bytes)
	v := Allowed
	switch {
	case !a.Client.within(client):
		v = OverClient
	case !a.Server.within(server) || server.Items > 1 && a.unfair(client, source, server):
		v = OverServer
	}
	if v != Allowed {
		a.give(items, bytes)
	}
	return v
}

// add counts one item more, whatever the bounds are.
func (a *Account) add(bytes int64) {
	a.Client.add(1, bytes)
	a.Source.add(1, bytes)
	a.Server.add(1, bytes)
}

// unfair tells whether the client has more than its share of what others need.
func (a *Account) unfair(client, source, server Bound) bool {
	most, even := a.Server.Max, a.Server.Even
	left := Bound{most.Items - server.Items, most.Bytes - server.Bytes}
	both := Bound{client.Items + source.Items, client.Bytes + source.Bytes}
	switch {
	case !client.exceeds(even):
		return source.exceeds(even) && source.exceeds(left.times(evenFactor))
	case server.exceeds(Bound{most.Items - most.Items/reservedPart, most.Bytes - most.Bytes/reservedPart}):
		return client.Items > 1 || both.exceeds(left.over(oneItem))
	default:
		return both.exceeds(left.times(shareFactor))
	}
}

func (a *Account) give(items, bytes int64) {
	a.Client.add(-items, -bytes)
	a.Source.add(-items, -bytes)
	a.Server.add(-items, -bytes)
}
