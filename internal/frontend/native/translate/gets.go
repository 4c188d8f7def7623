//balsa:pure

package translate

import (
	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/raft"
)

// Get is a GET and where its reply goes, as for Follow.
type Get struct {
	Request *api.Request
	Trail   *Trail
	Reply   func(*api.Reply)
}

// HandleGets is Handle for GETs that came together. They share a read, and are looked for together.
func (h *Handler) HandleGets(gets []Get) {
	var fresh [freshnesses]*readers
	for _, g := range gets {
		if err := h.checkOperation(g.Request, operation(g.Request)); err != nil {
			g.Reply(refusal(g.Request.Id, err))
			continue
		}
		r := &fresh[freshnessOf(g.Request)]
		if *r == nil {
			*r = new(readers)
		}
		(*r).add(g)
	}
	for how, r := range fresh {
		if r != nil {
			h.gets(freshness(how), r)
		}
	}
}

// readers are GETs that want the same freshness.
type readers struct {
	keys []string
	gets []reader
}

// reader is where the value of a key goes. A request itself would keep all of its batch in memory.
type reader struct {
	id    uint64
	trail *Trail
	reply func(*api.Reply)
}

func (r *readers) add(g Get) {
	r.keys = append(r.keys, string(g.Request.Key))
	r.gets = append(r.gets, reader{g.Request.Id, g.Trail, g.Reply})
}

// gets answers from the store as soon as it is fresh enough. Reads leave no trace in the log.
func (h *Handler) gets(how freshness, r *readers) {
	h.whenFresh(how, func(err error) {
		if err == nil {
			h.answerGets(r)
			return
		}
		for _, g := range r.gets {
			g.reply(h.readFailed(g.id, err))
		}
	})
}

// answerGets reads keys: at once if they are in memory, else in the background.
func (h *Handler) answerGets(r *readers) {
	for now, i := h.now(), 0; i < len(r.gets); i++ {
		r.gets[i].trail.freshAt(now)
	}
	h.Store.TryGets(r.keys, func(i int, found kv.Result, ok bool) {
		g, key := r.gets[i], r.keys[i]
		switch {
		case ok:
			g.reply(h.found(g.id, key, found))
		case h.Background == nil:
			g.reply(h.found(g.id, key, h.Store.Get(key)))
		default:
			h.Background(func() { g.reply(h.found(g.id, key, h.Store.Get(key))) })
		}
	})
}

// found is the reply to a GET. The right is checked after the read: see guarded.
func (h *Handler) found(id uint64, key string, r kv.Result) *api.Reply {
	if h.hasRights() {
		if code := h.mayRead(kv.Single(key)); code != kv.CodeOK {
			r = kv.Result{Code: code, Revision: r.Revision}
		}
	}
	return h.result(id, r)
}

// freshness is how a read is made as fresh as it is to be: by a raft.ReadMode, or localRead.
type freshness uint8

const (
	localRead   = freshness(raft.ReadByLease) + 1
	freshnesses = localRead + 1
)

func freshnessOf(req *api.Request) freshness {
	switch req.Consistency {
	case api.Request_LEASE:
		return freshness(raft.ReadByLease)
	case api.Request_LOCAL:
		return localRead
	}
	return freshness(raft.ReadByIndex)
}

// whenFresh calls read when the store is fresh enough.
func (h *Handler) whenFresh(how freshness, read func(error)) {
	if how == localRead {
		read(nil)
		return
	}
	h.Replica.ReadFunc(raft.ReadMode(how), read)
}
