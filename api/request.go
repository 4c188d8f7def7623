package api

// Size returns the size of r on the wire.
func (r *Request) Size() int { return sizeRequest(r) }

// Copy returns a copy of r, which shares the key, the value, the session and the call with it. (A Request cannot be
// assigned, and proto.Clone copies the value.)
func (r *Request) Copy() *Request {
	return &Request{
		Id:             r.Id,
		Kind:           r.Kind,
		Key:            r.Key,
		Value:          r.Value,
		Unconditional:  r.Unconditional,
		Version:        r.Version,
		Consistency:    r.Consistency,
		TimeoutMs:      r.TimeoutMs,
		UnchangedSince: r.UnchangedSince,
		Attempt:        r.Attempt,
		Session:        r.Session,
		Trace:          r.Trace,
		Call:           r.Call,
	}
}
