package replica_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/internal/replica"
	"balsa.example/state"
)

// journal is what the servers were asked, and what they said. Each key is put once, under
// its number; then it is either read again and again, or deleted once. So the state in the
// end shows of each write whether it was executed.
type journal struct {
	t testing.TB

	mu        sync.Mutex
	asked     []*asked
	readable  []*asked // puts of keys that nobody deletes, acknowledged
	undeleted []*asked // other puts, acknowledged, whose delete was not sent yet
}

// asked is one request.
type asked struct {
	req     *api.Request
	of      *replica.Replica
	given   bool   // Handle has returned
	deleted *asked // by whom the key was to be deleted
	replies []*api.Reply
}

// client asks until ctx ends, and waits for no answer. It prefers the server that leads.
func (j *journal) client(ctx context.Context, seed uint64, servers func() []*replica.Replica) {
	random := rand.New(rand.NewPCG(seed, 0))
	for ctx.Err() == nil {
		all := servers()
		if len(all) > 0 {
			r := all[random.IntN(len(all))]
			for _, other := range all {
				if other.Node.Leads() && random.IntN(4) > 0 {
					r = other
				}
			}
			j.ask(r, random)
		}
		time.Sleep(time.Duration(random.Int64N(int64(6 * time.Millisecond))))
	}
}

func (j *journal) ask(r *replica.Replica, random *rand.Rand) {
	j.mu.Lock()
	a := j.next(random)
	a.of = r
	a.req.Id = uint64(len(j.asked))
	j.asked = append(j.asked, a)
	j.mu.Unlock()
	r.Handle(a.req, func(reply *api.Reply) { j.answer(a, reply) })
	j.mu.Lock()
	a.given = true
	j.mu.Unlock()
}

func (j *journal) next(random *rand.Rand) *asked {
	switch n := random.IntN(4); {
	case n == 0 && len(j.readable) > 0:
		put := j.readable[random.IntN(len(j.readable))]
		return &asked{req: &api.Request{Kind: api.Request_GET, Key: put.req.Key}}
	case n == 1 && len(j.undeleted) > 0:
		put := j.undeleted[0]
		j.undeleted = j.undeleted[1:]
		put.deleted = &asked{req: &api.Request{Kind: api.Request_DELETE, Key: put.req.Key, Version: 1}}
		return put.deleted
	default:
		key := strconv.AppendInt(nil, int64(len(j.asked)), 10)
		return &asked{req: &api.Request{Kind: api.Request_PUT, Key: key, Value: key}}
	}
}

func (j *journal) answer(a *asked, reply *api.Reply) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a.replies = append(a.replies, reply)
	if a.req.Kind != api.Request_PUT || reply.Code != api.Reply_OK {
		return
	}
	if a.req.Id%2 == 0 {
		j.readable = append(j.readable, a)
	} else {
		j.undeleted = append(j.undeleted, a)
	}
}

// settled fails the test unless all that r was asked, or everybody if r is nil, has been
// answered, and once.
func (j *journal) settled(r *replica.Replica) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.asked {
		if n := len(a.replies); n != 1 && (r == nil || a.of == r && a.given) {
			j.t.Errorf("request %v has %d replies: %v", a.req, n, a.replies)
		}
	}
}

// count is the number of requests that ended in each way.
func (j *journal) count() map[api.Reply_Code]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	counts := map[api.Reply_Code]int{}
	for _, a := range j.asked {
		for _, r := range a.replies {
			counts[r.Code]++
		}
	}
	return counts
}

// check fails the test for each reply that was not true, given the state in the end.
func (j *journal) check(machine *state.Machine) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.asked {
		if len(a.replies) != 1 {
			continue // settled reports it
		}
		if lie := a.lie(machine.Get(string(a.req.Key)).Version > 0); lie != "" {
			j.t.Errorf("%v got %v, but %s", a.req, a.replies[0], lie)
		}
	}
}

// lie tells what is wrong with the reply, if the key is there in the end or is not.
func (a *asked) lie(there bool) string {
	code := a.replies[0].Code
	if a.req.Kind == api.Request_GET {
		switch code {
		case api.Reply_OK:
			if string(a.replies[0].Value) != string(a.req.Key) {
				return "another value was put"
			}
		case api.Reply_WRONG_LEADER, api.Reply_BUSY, api.Reply_UNAVAILABLE:
		default:
			return "the key had been put before"
		}
		return ""
	}
	executed := there
	if a.req.Kind == api.Request_DELETE {
		executed = !there
	} else if d := a.deleted; d != nil && len(d.replies) == 1 && (d.replies[0].Code == api.Reply_OK || d.replies[0].Code == api.Reply_UNKNOWN) {
		return "" // what became of it is the delete's to tell
	}
	switch code {
	case api.Reply_OK:
		if !executed {
			return "was not executed"
		}
	case api.Reply_WRONG_LEADER, api.Reply_BUSY:
		if executed {
			return "was executed"
		}
	case api.Reply_UNKNOWN:
	default:
		return fmt.Sprintf("%s is no answer to it", code)
	}
	return ""
}
