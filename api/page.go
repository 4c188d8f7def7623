package api

import (
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
			var entry PageEntry
			var err error
			if !entry.decodeUsual(last) {
				entry, err = decodeEntry(last)
			}
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

// cutEntry returns the entry that an encoded RangeReply begins with, and what follows it. ok is false if
// its length takes more than two bytes, or if there is none: consume knows all.
func cutEntry(b []byte) (e, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != 1<<3|byte(protowire.BytesType) {
		return nil, nil, false
	}
	at, size := 2, int(b[1])
	if size >= 1<<7 {
		at, size = 3, size&0x7f|int(b[2])<<7
	}
	if size >= 1<<14 || size > len(b)-at {
		return nil, nil, false
	}
	return b[at : at+size], b[at+size:], true
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

// decodeUsual reads an entry in the form that AppendRangeEntry gives to nearly all: a short key, a value, and
// numbers in their order. It returns false if that is not its form, or if it is none at all: decodeEntry knows.
func (e *PageEntry) decodeUsual(b []byte) bool {
	if len(b) < 2 || b[0] != 1<<3|byte(protowire.BytesType) || b[1] >= 0x80 || int(b[1]) > len(b)-2 {
		return false
	}
	at := 2 + int(b[1])
	e.Key = b[2:at:at]
	if len(b)-at > 3 && b[at] == 2<<3|byte(protowire.BytesType) {
		size := int(b[at+1])
		if at += 2; size >= 0x80 {
			if b[at] >= 0x80 {
				return false
			}
			size = size&0x7f | int(b[at])<<7
			at++
		}
		if size > len(b)-at {
			return false
		}
		e.Value = b[at : at+size : at+size]
		at += size
	}
	for last := byte(0); at < len(b); {
		tag, shift := b[at], 0
		if tag <= last {
			return false // which a later one of the same kind would replace
		}
		last = tag
		var v uint64
		for at++; ; at++ {
			if at >= len(b) || shift > 56 {
				return false
			}
			v |= uint64(b[at]&0x7f) << shift
			if b[at] < 0x80 {
				break
			}
			shift += 7
		}
		at++
		switch tag {
		case 3 << 3:
			e.Version = v
		case 4 << 3:
			e.CreateRevision = v
		case 5 << 3:
			e.ModRevision = v
		case 6 << 3:
			e.Lease = int64(v)
		default:
			return false
		}
	}
	return true
}

// decodeEntry reads an entry in any form.
func decodeEntry(data []byte) (e PageEntry, err error) {
	err = fields(data, func(f field) error {
		f.addTo(&e)
		return nil
	})
	return e, err
}

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
