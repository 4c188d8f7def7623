package server

import "sync/atomic"

// Bounds on what is in progress at once. A request counts until its reply has been
// handed to the network, and so does the value in it; beyond a bound requests get BUSY.
const (
	maxStreamRequests = 16 << 10
	maxStreamBytes    = 32 << 20
	maxServerRequests = 128 << 10
	maxServerBytes    = 256 << 20

	// requestOverhead is what a request counts for beyond its key and value, in bytes:
	// about what it costs in memory.
	requestOverhead = 256
)

// flow counts requests in progress, and their bytes, against a bound.
type flow struct {
	maxRequests, maxBytes int64
	requests, bytes       atomic.Int64
}

// enter counts one request of that many bytes in, unless that exceeds a bound. The
// first request is always let in.
func (f *flow) enter(bytes int64) bool {
	n, b := f.requests.Add(1), f.bytes.Add(bytes)
	if n > 1 && (n > f.maxRequests || b > f.maxBytes) {
		f.leave(bytes)
		return false
	}
	return true
}

func (f *flow) leave(bytes int64) {
	f.requests.Add(-1)
	f.bytes.Add(-bytes)
}

// grow adds bytes to a request that is counted in, unless that exceeds the bound; that
// of the only request may.
func (f *flow) grow(bytes int64) bool {
	if f.bytes.Add(bytes) > f.maxBytes && f.requests.Load() > 1 {
		f.shrink(bytes)
		return false
	}
	return true
}

func (f *flow) shrink(bytes int64) { f.bytes.Add(-bytes) }
