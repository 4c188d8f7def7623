package replica

import (
	"sync"

	"balsa.example/api"
)

// slab hands out replies of which it allocates many at once.
type slab struct {
	mu   sync.Mutex
	free []api.Reply
}

// slabReplies is how many: so many may stay in memory for the sake of one.
const slabReplies = 64

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
