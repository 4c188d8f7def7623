package lease

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"balsa.example/state/logtime"
)

var (
	// ErrBadImage refuses bytes that are no image, or a damaged or truncated one.
	ErrBadImage = errors.New("lease: bad image")

	// ErrNewerImage refuses an image of a format that this program does not know yet.
	ErrNewerImage = errors.New("lease: image was written by a newer program")
)

// Decode reads what Image.WriteTo wrote, and nothing behind it. The error is ErrBadImage,
// ErrNewerImage or one of r's own. It trusts no length: it allocates little more than it has read.
func Decode(r *bufio.Reader) (*Table, error) {
	d := &decoder{r: r}
	t, leases, hash := d.header()
	last := int64(math.MinInt64)
	for i := uint64(0); i < leases && d.err == nil; i++ {
		rec := d.lease(t.limits)
		d.demand(rec.id != 0 && (i == 0 || rec.id > last), "lease %d after %d", rec.id, last)
		if last = rec.id; d.err == nil {
			t.insert(rec)
		}
	}
	if d.err == nil {
		d.demand(t.Hash() == hash, "leases do not add up to the hash")
	}
	if d.err != nil {
		return nil, fmt.Errorf("read leases: %w", d.err)
	}
	return t, nil
}

// decoder reads the parts of an image, until the first error.
type decoder struct {
	r      *bufio.Reader
	format byte
	err    error
}

// demand fails the decoder unless ok.
func (d *decoder) demand(ok bool, format string, args ...any) {
	if !ok && d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrBadImage, fmt.Sprintf(format, args...))
	}
}

// failed notes an error of the reader. An end that comes too early is ErrBadImage.
func (d *decoder) failed(err error) {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = fmt.Errorf("%w: truncated", ErrBadImage)
	}
	if err != nil && d.err == nil {
		d.err = err
	}
}

func (d *decoder) byte() byte {
	if d.err != nil {
		return 0
	}
	b, err := d.r.ReadByte()
	d.failed(err)
	return b
}

// fixed reads 8 bytes.
func (d *decoder) fixed() uint64 {
	if d.err != nil {
		return 0
	}
	var b [8]byte
	_, err := io.ReadFull(d.r, b[:])
	d.failed(err)
	return binary.LittleEndian.Uint64(b[:])
}

// uvarint reads a number of at most limit, in its shortest form.
func (d *decoder) uvarint(what string, limit uint64) (v uint64) {
	for shift := 0; d.err == nil; shift += 7 {
		b := d.byte()
		d.demand(shift < 63 || b <= 1, "%s over 64 bits", what)
		d.demand(b != 0 || shift == 0, "%s is not in its shortest form", what)
		if v |= uint64(b&0x7f) << shift; b < 0x80 {
			break
		}
	}
	if d.demand(v <= limit, "%s %d, limit %d", what, v, limit); d.err != nil {
		return 0
	}
	return v
}

func (d *decoder) varint(what string) int64 {
	v := d.uvarint(what, math.MaxUint64)
	return int64(v>>1) ^ -int64(v&1)
}

// bytes reads n bytes; nil if n is 0. It allocates in steps, since n may be wrong.
func (d *decoder) bytes(n uint64) (b []byte) {
	for n > uint64(len(b)) && d.err == nil {
		step := min(n-uint64(len(b)), max(streamBytes, uint64(len(b))))
		b = append(b, make([]byte, step)...)
		_, err := io.ReadFull(d.r, b[uint64(len(b))-step:])
		d.failed(err)
	}
	return b
}

func (d *decoder) header() (t *Table, leases, hash uint64) {
	switch d.format = d.byte(); {
	case d.err == nil && d.format > imageFormat:
		d.err = fmt.Errorf("%w: format %d, this program reads up to %d", ErrNewerImage, d.format, imageFormat)
	case d.format == 0:
		d.demand(false, "format 0")
	}
	l := Limits{
		Leases:          uint32(d.uvarint("Leases", math.MaxUint32)),
		KeysPerLease:    uint32(d.uvarint("KeysPerLease", math.MaxUint32)),
		Window:          uint32(d.uvarint("Window", math.MaxUint32)),
		OutcomeBytes:    uint32(d.uvarint("OutcomeBytes", math.MaxUint32)),
		SessionBytes:    uint32(d.uvarint("SessionBytes", math.MaxUint32)),
		AllOutcomeBytes: d.uvarint("AllOutcomeBytes", math.MaxUint64),
	}
	stamp := logtime.Stamp{Log: d.time("log time"), Wall: d.varint("wall time")}
	leases = d.uvarint("number of leases", uint64(l.Leases))
	hash = d.fixed()
	t, err := NewTable(l)
	if err != nil {
		d.demand(false, "%v", err)
		return nil, 0, 0
	}
	t.stamp = stamp
	return t, leases, hash
}

func (d *decoder) time(what string) logtime.Time {
	return logtime.Time(d.uvarint(what, math.MaxInt64))
}

func (d *decoder) lease(l Limits) record {
	r := record{id: int64(d.fixed())}
	isSession := d.byte()
	d.demand(isSession <= 1, "lease %d is of kind %d", r.id, isSession)
	r.ttl = int64(d.uvarint("time to live", MaxTTL))
	d.demand(r.ttl > 0, "lease %d has no time to live", r.id)
	r.expiry = d.time("expiry")
	r.keys = d.keys(r.id, d.uvarint("number of keys", uint64(l.KeysPerLease)))
	if isSession == 1 && d.err == nil {
		r.session = d.session(r.id, l)
	}
	return r
}

func (d *decoder) keys(id int64, count uint64) *keySet {
	if count == 0 {
		return nil
	}
	k, last := &keySet{}, ""
	for i := uint64(0); i < count && d.err == nil; i++ {
		key := string(d.bytes(d.uvarint("length of a key", math.MaxUint32)))
		d.demand(i == 0 || key > last, "key %.40q of lease %d after %.40q", key, id, last)
		if last = key; d.err == nil {
			k.insert(key)
			k.sum += keyHash(id, key)
		}
	}
	return k
}

func (d *decoder) session(id int64, l Limits) *session {
	s := &session{floor: d.uvarint("floor", math.MaxUint64)}
	s.sum = s.floorHash(id)
	last := uint64(0)
	for count := d.uvarint("number of outcomes", uint64(l.Window)); count > 0 && d.err == nil; count-- {
		ahead := d.uvarint("sequence number", min(uint64(l.Window), math.MaxUint64-s.floor))
		d.demand(ahead > last, "outcome %d of session %d after %d", ahead, id, last)
		last = ahead
		o := outcome{s.floor + ahead, Outcome{Revision: d.uvarint("revision", math.MaxUint64)}}
		if d.format > 1 {
			o.Code = d.byte()
		}
		if size := d.uvarint("length of a result", uint64(l.OutcomeBytes)+1); size > 0 {
			o.Whole, o.Result = true, d.bytes(size-1)
		}
		s.outcomes = append(s.outcomes, o)
		s.sum += o.hash(id)
		s.bytes += o.size()
	}
	d.demand(s.bytes <= uint64(l.SessionBytes), "outcomes of session %d take up %d bytes, limit %d", id, s.bytes, l.SessionBytes)
	return s
}
