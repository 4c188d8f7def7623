package clerk

//balsa:pure

import "balsa.example/api"

// reads tells whether a request changes nothing, so that it can be sent again at any time.
func reads(req *api.Request) bool {
	switch req.GetKind() {
	case api.Request_GET, api.Request_RANGE, api.Request_LEASE_TIME_TO_LIVE, api.Request_LEASES:
		return true
	case api.Request_TXN:
		return !writes(req.GetTxn())
	}
	return false
}

// writes tells whether a transaction has an operation that can change a key.
func writes(t *api.Txn) bool {
	for _, list := range [][]*api.TxnOp{t.GetThen(), t.GetElse()} {
		for _, op := range list {
			if op.GetPut() != nil || op.GetDeleteRange() != nil || writes(op.GetTxn()) {
				return true
			}
		}
	}
	return false
}

// conditional tells whether a write is a Put or Delete at a version, without more: those that
// can carry a revision since when the key must be unchanged.
func conditional(req *api.Request) bool {
	switch req.GetKind() {
	case api.Request_PUT, api.Request_DELETE:
		return !req.GetUnconditional() && req.GetPut() == nil
	}
	return false
}

// repeatable tells whether a kind of write may be executed twice: the second time it changes
// nothing, or nothing that matters. After a resend a refusal may be due to the first attempt.
//
//	COMPACT           the second is refused with COMPACTED
//	LEASE_GRANT       the second makes another lease, and one of the two is revoked: see ids. Of
//	                  an id that the caller has named it is refused with LEASE_EXISTS, and the
//	                  client asks what the lease is that exists
//	LEASE_REVOKE      the second is refused with NO_LEASE
//	LEASE_KEEP_ALIVE  the lease lives on from the second
//	SET_QUOTA         a quota that somebody else has set in between is lost
func repeatable(k api.Request_Kind) bool {
	switch k {
	case api.Request_COMPACT, api.Request_LEASE_GRANT, api.Request_LEASE_REVOKE,
		api.Request_LEASE_KEEP_ALIVE, api.Request_SET_QUOTA:
		return true
	}
	return false
}

// ofTheStore tells whether a code is a refusal that the store makes when it executes a
// request. In a session it is remembered as the outcome.
func ofTheStore(c api.Reply_Code) bool {
	switch c {
	case api.Reply_VERSION_MISMATCH, api.Reply_NO_KEY, api.Reply_COMPACTED, api.Reply_FUTURE_REVISION,
		api.Reply_DUPLICATE_KEY, api.Reply_NO_LEASE, api.Reply_LEASE_FULL, api.Reply_QUOTA,
		api.Reply_LEASE_EXISTS, api.Reply_LEASE_TTL, api.Reply_TOO_MANY_LEASES, api.Reply_CORRUPT, api.Reply_NO_SPACE:
		return true
	}
	return false
}

// ofTheServer tells whether a code is a final refusal that a server makes before it executes a
// request.
func ofTheServer(c api.Reply_Code) bool {
	switch c {
	case api.Reply_TOO_LARGE, api.Reply_INVALID, api.Reply_TOO_MANY_OPS:
		return true
	}
	return ofTheUser(c)
}

// ofTheUser tells whether a code refuses the user of a request. That says nothing of the attempts
// before, also in a session: one that was executed had a user who is none any more.
func ofTheUser(c api.Reply_Code) bool {
	return c == api.Reply_PERMISSION_DENIED || c == api.Reply_UNAUTHENTICATED
}

// keptRefusal tells whether a reply is the outcome of a write of a session whose user was refused.
func keptRefusal(r *api.Reply) bool { return ofTheUser(r.GetCode()) && r.GetDoneAt() != 0 }

// forgotten tells whether a reply says that a write of a session was decided before, and that
// nobody knows how.
func forgotten(r *api.Reply) bool { return r.GetCode() == api.Reply_UNKNOWN && r.GetDoneAt() != 0 }

// alreadyDone is the refusal that a repeatable request gets when an attempt before has done what
// it asks for; OK if there is none.
func alreadyDone(k api.Request_Kind) api.Reply_Code {
	switch k {
	case api.Request_COMPACT:
		return api.Reply_COMPACTED
	case api.Request_LEASE_GRANT:
		return api.Reply_LEASE_EXISTS
	case api.Request_LEASE_REVOKE:
		return api.Reply_NO_LEASE
	}
	return api.Reply_OK
}

// final tells whether a code ends an operation that has no attempt in doubt.
func final(c api.Reply_Code) bool {
	return c == api.Reply_OK || c == api.Reply_SESSION_ENDED || ofTheStore(c) || ofTheServer(c)
}

// certain tells whether a code says that the attempt that it answers was not executed.
func certain(c api.Reply_Code) bool {
	switch c {
	case api.Reply_WRONG_LEADER, api.Reply_BUSY, api.Reply_UNAVAILABLE:
		return true
	}
	return ofTheStore(c) || ofTheServer(c)
}
