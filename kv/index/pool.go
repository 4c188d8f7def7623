package index

// poolChunk is how many values a pool allocates at a time.
const poolChunk = 256

// pool has values of one type, which holds no pointers, and calls them by numbers from 1 on.
// It grows by a chunk at a time, so that nothing is ever copied, and the garbage collector
// finds nothing to look at in it. Values that were released are used again.
type pool[T any, P link[T]] struct {
	chunks []*[poolChunk]T
	used   uint32 // the highest number that was ever given out
	free   uint32 // the first of the released values, each of which links to the next
	idle   int    // how many these are
}

// link is the place in a released value for the number of the next one.
type link[T any] interface {
	*T
	link() *uint32
}

func (p *pool[T, P]) at(n uint32) *T { return &p.chunks[n/poolChunk][n%poolChunk] }

// take returns the number of a value that is zero.
func (p *pool[T, P]) take() uint32 {
	if n := p.free; n != 0 {
		p.free = *P(p.at(n)).link()
		*p.at(n) = *new(T)
		p.idle--
		return n
	}
	if p.used++; p.used == 0 {
		panic("index: a pool is full")
	}
	if int(p.used/poolChunk) == len(p.chunks) {
		p.chunks = append(p.chunks, new([poolChunk]T))
	}
	return p.used
}

func (p *pool[T, P]) release(n uint32) {
	v := p.at(n)
	*v = *new(T)
	*P(v).link() = p.free
	p.free = n
	p.idle++
}
