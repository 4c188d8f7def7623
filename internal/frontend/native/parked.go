package native

import (
	"time"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
)

// What a reply is expected to take counts before its request is started. A request for which there
// is no room yet is parked: it waits for the replies of its own stream, in the order in which the
// requests came. BUSY would have the client wait for longer and longer times, while others that
// came later get the room.
//
// Pages also wait while those before them are maxAhead, as far as that is known: by the pages that were
// read last. Other requests do not wait behind pages that wait for that alone.
//
// So requests are parked only while others of the stream are counted, which make room when their
// replies have been sent. What is parked counts for itself, without its reply. A request whose client
// does not wait any more when its turn comes is not started.

// parkedRequest is a request that waits since a time.
type parkedRequest struct {
	req   *api.Request
	page  bool // see isPage
	since time.Time
}

// resume takes the time that the request has waited from the time that its client waits, and returns
// false if nothing is left of that.
func (p parkedRequest) resume() bool {
	if p.req.TimeoutMs == 0 {
		return true // the client says nothing
	}
	left := int64(p.req.TimeoutMs) - time.Since(p.since).Milliseconds()
	p.req.TimeoutMs = uint32(max(1, left))
	return left > 0
}

// admit counts what the reply to a request is expected to take, or parks the request.
func (s *clientStream) admit(req *api.Request, expected int64) (v clients.Verdict, parked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := isPage(req.Kind, expected)
	if expected > 0 {
		parked = s.isInLine(page)
		if !parked {
			v = s.account.TryGrow(expected)
			parked = v != clients.Allowed && s.counted > 0
		}
	}
	switch {
	case parked && s.closed:
		return clients.OverClient, false // nobody reads the reply
	case parked:
		s.parked = append(s.parked, parkedRequest{req, page, time.Now()})
		s.pending++
	case v == clients.Allowed:
		s.pending++
		s.count(page)
	}
	return v, parked
}

// isInLine tells whether a request has to wait for others of the stream, whatever room there is. Caller holds mu.
func (s *clientStream) isInLine(page bool) bool {
	if s.isAhead() {
		return page || len(s.parked) > 0 && !s.parked[0].page
	}
	return s.counted > 0 && len(s.parked) > 0
}

// count counts a request in progress. Caller holds mu.
func (s *clientStream) count(page bool) {
	s.counted++
	if page {
		s.pages++
	}
}

// isPage tells whether a request reads a page: the keys of a span.
func isPage(kind api.Request_Kind, expected int64) bool {
	return kind == api.Request_RANGE && expected > 0
}

// isAhead tells whether one page more would be too much ahead of the client. Caller holds mu.
func (s *clientStream) isAhead() bool { return s.pages > 0 && int64(s.pages+1)*s.page > maxAhead }

// unpark starts the requests for which there is room now. If none of the stream is counted any more,
// what takes the room is not the stream's: then those that are parked get BUSY.
func (s *clientStream) unpark() {
	for {
		req, since, expected, v := s.takeParked()
		switch {
		case req == nil:
			return
		case v == clients.Allowed:
			s.handle(req, costOf(req), expected, since)
		default:
			s.account.Leave(costOf(req))
			s.answerRefused(req, v)
		}
	}
}

// takeParked returns the first parked request, if it is to be started or refused.
func (s *clientStream) takeParked() (req *api.Request, since time.Time, expected int64, v clients.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parked) == 0 {
		return nil, since, 0, clients.Allowed
	}
	first := s.parked[0]
	expected = expectedOf(first.req)
	switch {
	case first.page && s.isAhead():
		return nil, since, 0, clients.OverClient
	case s.counted > 0:
		if v = s.account.TryGrow(expected); v != clients.Allowed {
			return nil, since, 0, v
		}
	default:
		v = s.account.Grow(expected)
	}
	if v == clients.Allowed && !first.resume() {
		s.account.Shrink(expected)
		v = tooLate
	}
	if v == clients.Allowed {
		s.count(first.page)
	}
	s.parked[0] = parkedRequest{}
	s.parked = s.parked[1:]
	return first.req, first.since, expected, v
}
