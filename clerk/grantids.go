package clerk

import (
	"slices"
	"time"

	"balsa.example/api"
)

// grantIDs are the ids that the attempts of one grant ask for. No two attempts that may both be executed ask for
// the same one. Otherwise this could happen, to a lease as to a session:
//
//  1. The first attempt is executed, its reply is late, and a second attempt is sent.
//  2. The reply comes, and the session is used. A write of it is sent twice.
//  3. Somebody revokes the session. The first copy of the write finds none: it is not executed, and so the Clerk
//     makes the write in another session.
//  4. The second attempt arrives. It makes a new session with the old id, in which the second copy is executed.
//
// And an owner whose keys went with a lease that was revoked would be told that it lives.
type grantIDs struct {
	ttl     time.Duration
	last    int64
	doubted []int64 // of attempts that may have been executed, or may be yet: at most maxLate
}

// newGrantIDs returns nil if the request is no grant, or has an id that its caller has named.
func newGrantIDs(req *api.Request) *grantIDs {
	if l := req.GetLease(); req.Kind == api.Request_LEASE_GRANT && l.GetId() == 0 {
		return &grantIDs{ttl: milliseconds(l.GetTtlMs())}
	}
	return nil
}

// attempt returns the request of a new attempt. noDoubt: none of the attempts before was executed, or will be.
// Caller holds c.mu.
func (g *grantIDs) attempt(c *Clerk, req *api.Request, noDoubt bool) *api.Request {
	if g.last != 0 && noDoubt {
		return req
	}
	if g.last != 0 {
		if len(g.doubted) == maxLate {
			g.doubted = slices.Delete(g.doubted, 0, 1)
		}
		g.doubted = append(g.doubted, g.last)
	}
	g.last = c.drawLease()
	asked := req.GetLease()
	req = req.Copy()
	req.Call = &api.Request_Lease{Lease: &api.Lease{Id: g.last, TtlMs: asked.GetTtlMs(), Session: asked.GetSession()}}
	return req
}

// revokeOthers revokes, in the background, what other attempts may have made than the one that was answered. A
// lease that an attempt makes still later expires.
func (g *grantIDs) revokeOthers(c *Clerk, out Outcome) {
	if g == nil || out.Verdict == Dropped || out.Verdict == Answered && len(g.doubted) == 0 {
		return
	}
	for _, id := range append(g.doubted, g.last) {
		if out.Verdict == Maybe || id != out.Reply.GetLease().GetId() {
			c.keeper.abandon(c.lease(id, g.ttl))
		}
	}
}
