package api

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// Frames returns a mem.BufferPool for the frames that a client receives. Each is written whole, and copied
// when its message is complete, so what was in the buffer before is not cleared. gRPC's own pool does.
func Frames() mem.BufferPool { return &frames }

var frames framePool

const (
	// largeFrame is the size in bytes of the largest frames that there are, and of the buffers for those of
	// more than smallFrame. Buffers of less than leastFrame do not come back.
	largeFrame = 16 << 10
	smallFrame = 4 << 10
	leastFrame = 1 << 10
)

// framePool keeps buffers of two sizes.
type framePool struct{ small, large sync.Pool }

// Get implements mem.BufferPool.
func (p *framePool) Get(length int) *[]byte {
	size, pool := length, (*sync.Pool)(nil)
	switch {
	case length < leastFrame || length > largeFrame:
	case length <= smallFrame:
		size, pool = smallFrame, &p.small
	default:
		size, pool = largeFrame, &p.large
	}
	if pool != nil {
		if b, ok := pool.Get().(*[]byte); ok {
			*b = (*b)[:length]
			return b
		}
	}
	b := make([]byte, length, size)
	return &b
}

// Put implements mem.BufferPool.
func (p *framePool) Put(b *[]byte) {
	switch cap(*b) {
	case smallFrame:
		p.small.Put(b)
	case largeFrame:
		p.large.Put(b)
	}
}
