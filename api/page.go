package api

import (
	"encoding/binary"
	"io"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// Page is what a Reply says of a range. The fields tell of as much of it as was taken: all of it when
// Entries has come to its end, or Skip.
type Page struct {
	// Count is how many keys there are, of which the range may have less. More tells that it has.
	Count uint64
	More  bool
	// Len is the number of entries.
	Len int

	encoded []byte // what was not taken
	last    []byte // the last entry
}

// Page returns the range of a reply, in whatever form it has it. It is empty if there is none.
func (x *Reply) Page() Page {
	switch r := x.GetResult().(type) {
	case *Reply_EncodedRange:
		return Page{encoded: r.Range}
	case *Reply_Range:
		return Page{encoded: appendRange(nil, r.Range)}
	}
	return Page{}
}

// PageEntry is an entry of a range: what an Entry says.
type PageEntry struct {
	Key, Value                           []byte
	Version, CreateRevision, ModRevision uint64
	Lease                                int64
}

// Entries yields the entries that were not taken before. Their keys and values, which must not be written
// to, may be kept: each keeps all of the page. An error is the last thing that it yields.
func (p *Page) Entries() iter.Seq2[PageEntry, error] {
	return func(yield func(PageEntry, error) bool) {
		// Pointers are written to the stack here: while garbage is collected, to write one to p costs
		// a call, and a client that reads ranges has much garbage.
		encoded, last, taken := p.encoded, p.last, 0
		defer func() { p.encoded, p.last, p.Len = encoded, last, p.Len+taken }()
		for len(encoded) > 0 {
			e, rest, ok := cutEntry(encoded)
			if ok {
				encoded, last, taken = rest, e, taken+1
			} else {
				p.encoded, p.last = encoded, last
				err := p.next()
				encoded, last = p.encoded, p.last
				if err == io.EOF {
					return
				}
				if err != nil {
					yield(PageEntry{}, err)
					return
				}
			}
			entry, err := decodeEntry(last)
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
}

// Skip takes what Entries has not.
func (p *Page) Skip() (err error) {
	for err == nil {
		err = p.next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// LastKey returns the key of the last entry that was taken, nil if there is none.
func (p *Page) LastKey() ([]byte, error) {
	e, err := decodeEntry(p.last)
	return e.Key, err
}

// next takes everything up to the end of the next entry, which is last then. At the end it returns io.EOF.
func (p *Page) next() error {
	for len(p.encoded) > 0 {
		if e, rest, ok := cutEntry(p.encoded); ok {
			p.Len, p.last, p.encoded = p.Len+1, e, rest
			return nil
		}
		f, n := consume(p.encoded)
		if n < 0 {
			return malformed(n)
		}
		p.encoded = p.encoded[n:]
		switch {
		case f.is(1, protowire.BytesType):
			p.Len, p.last = p.Len+1, f.bytes
			return nil
		case f.is(2, protowire.VarintType):
			p.Count = f.value
		case f.is(3, protowire.VarintType):
			p.More = protowire.DecodeBool(f.value)
		}
	}
	return io.EOF
}

// cutEntry returns the entry that an encoded RangeReply begins with, and what follows it. ok is
// false if that has another form than AppendRangeEntry gives it: consume knows all.
func cutEntry(b []byte) (e, rest []byte, ok bool) {
	if b[0] != 1<<3|byte(protowire.BytesType) {
		return nil, nil, false
	}
	v, n := uvarint(b[1:])
	if n <= 0 || v > uint64(len(b)-1-n) {
		return nil, nil, false
	}
	e, rest = cut(b[1+n:], v)
	return e, rest, true
}

// uvarint is binary.Uvarint, quicker where it is one byte or two, as lengths are.
func uvarint(b []byte) (v uint64, n int) {
	switch {
	case len(b) > 0 && b[0] < 0x80:
		return uint64(b[0]), 1
	case len(b) > 1 && b[1] < 0x80:
		return uint64(b[0]&0x7f) | uint64(b[1])<<7, 2
	}
	return binary.Uvarint(b)
}

// Whole returns the reply with its range, if it has one, as a message.
func (x *Reply) Whole() (*Reply, error) {
	if _, ok := x.GetResult().(*Reply_EncodedRange); !ok {
		return x, nil
	}
	data, err := appendReply(nil, x)
	if err != nil {
		return nil, err
	}
	whole := new(Reply)
	return whole, merge(data, whole)
}

// decodeEntry reads an entry. Ranges have thousands of them, so the usual forms of its fields are told by
// their first byte. What is none of them is left to consume.
func decodeEntry(data []byte) (e PageEntry, err error) {
	for len(data) > 0 {
		v, n := uvarint(data[1:])
		rest := uint64(len(data) - 1 - n)
		switch tag := data[0]; {
		case n <= 0:
		case tag == 1<<3|byte(protowire.BytesType) && v <= rest:
			e.Key, data = cut(data[1+n:], v)
			continue
		case tag == 2<<3|byte(protowire.BytesType) && v <= rest:
			e.Value, data = cut(data[1+n:], v)
			continue
		case tag == 3<<3:
			e.Version, data = v, data[1+n:]
			continue
		case tag == 4<<3:
			e.CreateRevision, data = v, data[1+n:]
			continue
		case tag == 5<<3:
			e.ModRevision, data = v, data[1+n:]
			continue
		}
		f, n := consume(data)
		if n < 0 {
			return e, malformed(n)
		}
		data = data[n:]
		f.addTo(&e)
	}
	return e, nil
}

// cut splits b behind its first n bytes.
func cut(b []byte, n uint64) (head, tail []byte) { return b[:n:n], b[n:] }

func (f field) addTo(e *PageEntry) {
	switch {
	case f.is(1, protowire.BytesType):
		e.Key = f.bytes
	case f.is(2, protowire.BytesType):
		e.Value = f.bytes
	case f.is(3, protowire.VarintType):
		e.Version = f.value
	case f.is(4, protowire.VarintType):
		e.CreateRevision = f.value
	case f.is(5, protowire.VarintType):
		e.ModRevision = f.value
	case f.is(6, protowire.VarintType):
		e.Lease = int64(f.value)
	}
}
