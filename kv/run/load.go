package run

import (
	"bytes"
	"container/heap"
)

const (
	// loadBytes is about how much memory Load takes to read ahead, over all runs.
	loadBytes = 64 << 20
	// minAhead is the least that it reads at once.
	minAhead = 4 * blockBytes
)

// Load yields what the index of a store must know of each record that Open has found, sorted by key
// and then by revision. It reads no values of sealed runs, only their indexes. An Entry, with its
// Key, is good until yield returns. If yield returns false Load ends, with no error.
//
// It is called after Open, before the first Append.
func (h *History) Load(yield func(*Entry) bool) error {
	var m merge
	runs, err := h.parts(0)
	if err != nil {
		return err
	}
	ahead := min(max(loadBytes/int64(len(runs)+1), minAhead), pieceBytes)
	for _, p := range runs {
		c, err := h.cursor(p, ahead)
		if err == nil {
			err = m.add(c)
		}
		if err != nil {
			return err
		}
	}
	heap.Init(&m)
	for len(m) > 0 {
		e := m[0].entry()
		if !yield(e) {
			return nil
		}
		if ok, err := m[0].next(); err != nil {
			return err
		} else if ok {
			heap.Fix(&m, 0)
		} else {
			heap.Pop(&m)
		}
	}
	return nil
}

// cursor is at one entry of a run, in the order of the index.
type cursor interface {
	next() (bool, error)
	entry() *Entry
}

func (h *History) cursor(p part, ahead int64) (cursor, error) {
	if p.mem != nil {
		return newMemoryCursor(p), nil
	}
	file, err := h.get(p.number)
	if err != nil {
		return nil, err
	}
	defer h.open.put(file)
	if err := h.files.checkHeader(file, p.info); err != nil {
		return nil, err
	}
	t, err := h.files.readTrailer(file, p.info, p.salt)
	if err != nil {
		return nil, err
	}
	c := &fileCursor{h: h, part: p, at: t.indexAt, end: t.stepsAt, ahead: ahead}
	c.first, c.file = p.info.First, p.number
	return c, nil
}

// merge is a heap of cursors.
type merge []cursor

func (m *merge) add(c cursor) error {
	ok, err := c.next()
	if ok {
		*m = append(*m, c)
	}
	return err
}

func (m merge) Len() int { return len(m) }
func (m merge) Less(i, j int) bool {
	a, b := m[i].entry(), m[j].entry()
	if c := bytes.Compare(a.Key, b.Key); c != 0 {
		return c < 0
	}
	return a.Mod < b.Mod
}
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)   { *m = append(*m, x.(cursor)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// fileCursor reads the index of a sealed run, a few blocks at a time.
type fileCursor struct {
	h *History
	part
	at, end int64
	ahead   int64
	buf     []byte // the file up to at
	entries
}

func (c *fileCursor) entry() *Entry { return &c.Entry }

func (c *fileCursor) next() (bool, error) {
	for {
		ok, err := c.entries.next()
		if err != nil {
			return false, c.h.files.corrupt(c.number, c.at-int64(len(c.buf)), err)
		}
		if ok || len(c.buf) == 0 && c.at == c.end {
			return ok, nil
		}
		if err := c.block(); err != nil {
			return false, err
		}
	}
}

// block goes on to the next block.
func (c *fileCursor) block() error {
	b, err := c.want(recordHead)
	if err != nil {
		return err
	}
	n, err := blockLen(b)
	if err == nil {
		b, err = c.want(n)
	} else {
		err = c.h.files.corrupt(c.number, c.at-int64(len(c.buf)), err)
	}
	if err != nil {
		return err
	}
	offset := c.at - int64(len(c.buf))
	content, err := checkBlock(b, c.salt, offset)
	if err != nil {
		return c.h.files.corrupt(c.number, offset, err)
	}
	c.buf = c.buf[n:]
	c.entries.b, c.entries.Key = content, c.entries.Key[:0]
	return nil
}

// want returns the next n bytes. They stay as they are until entries has read them, since a new
// buffer is made for what follows.
func (c *fileCursor) want(n int64) ([]byte, error) {
	if n <= int64(len(c.buf)) {
		return c.buf[:n], nil
	}
	from := c.at - int64(len(c.buf))
	if n > c.end-from {
		return nil, c.h.files.corrupt(c.number, from, errBlock)
	}
	file, err := c.h.get(c.number)
	if err != nil {
		return nil, err
	}
	defer c.h.open.put(file)
	b := make([]byte, min(max(n, c.ahead), c.end-from))
	if err := c.h.files.readAt(file, c.number, b, from); err != nil {
		return nil, err
	}
	c.buf, c.at = b, from+int64(len(b))
	return b[:n], nil
}

// memoryCursor has the entries of a run in memory.
type memoryCursor struct {
	list *packed
	left []sortItem
	entries
}

func newMemoryCursor(p part) *memoryCursor {
	list := p.mem.index(p.header.first, p.end, p.info.Records, new(pacing))
	return &memoryCursor{list: list, left: list.sorted(), entries: entries{first: list.first, file: p.number}}
}

func (c *memoryCursor) entry() *Entry { return &c.Entry }

func (c *memoryCursor) next() (bool, error) {
	if len(c.left) == 0 {
		return false, nil
	}
	c.Key, c.b = c.list.entry(c.left[0].at)
	c.left = c.left[1:]
	return true, c.fields()
}
