package replica

import (
	"sync"

	"balsa.example/api"
)

// slab allocates replies, slabReplies of them at once.
type slab struct {
	mu   sync.Mutex
	free []api.Reply
}

// slabReplies is also how many replies one that is in use can keep in memory.
const slabReplies = 64

// take returns an empty reply.
func (s *slab) take() *api.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		s.free = make([]api.Reply, slabReplies)
	}
	r := &s.free[0]
	s.free = s.free[1:]
	return r
}
