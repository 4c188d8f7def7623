package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"balsa.example/kv"
	"balsa.example/state/logtime"
)

// The byte form of a command, as it stands in the Raft log. An operation on one key that has
// no session and no lease is written as kv.Codec writes it: it begins with kv's format, 1.
// Every other command is
//
//	format(1 byte) kind(1 byte) fields
//
// where numbers are uvarints, and bytes have their length before them. The format is moreFormat,
// or userFormat: then a user comes before the other fields, or the mark of the cluster itself.
const (
	moreFormat = 2
	userFormat = 3
)

// maxDepth bounds how deep transactions are nested. Validate refuses deeper ones at the edge,
// so that none comes into the log.
const maxDepth = 32

var (
	errTruncated = errors.New("state: truncated command")
	errTooDeep   = fmt.Errorf("state: transactions are nested deeper than %d", maxDepth)
)

// Codec is the byte form of a Command. Decode undoes Append.
type Codec struct {
	// Version is the newest version of commands that are known; 0: that of this program.
	Version uint64
}

// Append appends the encoding of c to dst.
func (Codec) Append(dst []byte, c Command) []byte {
	if c.More == nil {
		return kv.Codec{}.Append(dst, c.Op)
	}
	m := c.More
	e := encoder{append(dst, moreFormat, byte(m.Kind))}
	if m.User != "" || m.UserStamp != 0 || m.Internal {
		e.b[len(dst)] = userFormat
		e.text(m.User)
		e.number(m.UserStamp + 1) // auth.ByCertificate is 0
		e.flag(m.Internal)
	}
	e.number(uint64(m.Session.ID))
	if m.Session.ID != 0 {
		e.number(m.Session.Seq)
		e.number(m.Session.Acked)
	}
	e.number(uint64(m.Stamp.Log))
	e.number(uint64(m.Stamp.Wall))
	switch m.Kind {
	case KindOp:
		return kv.Codec{}.Append(e.b, c.Op)
	case KindTxn:
		e.txn(m.Txn)
	case KindCompact:
		e.number(m.Revision)
	case KindGrant:
		e.number(uint64(m.Lease))
		e.number(uint64(m.TTL))
		e.flag(m.IsSession)
	case KindRevoke:
		e.number(uint64(m.Lease))
	case KindTick:
		e.number(uint64(len(m.Leases)))
		for _, id := range m.Leases {
			e.number(uint64(id))
		}
	case KindQuota:
		e.number(uint64(m.Quota))
	case KindAuth:
		e.change(m.Auth)
	case KindVersion:
		e.number(m.Version)
	case KindAlarm:
		e.number(m.Alarm.Member)
		e.number(uint64(m.Alarm.Kind))
		e.flag(m.Alarm.Lift)
	}
	return e.b
}

// Decode reads one command, which is all of data, and shares its memory.
func (codec Codec) Decode(data []byte) (c Command, err error) {
	if len(data) == 0 || data[0] != moreFormat && data[0] != userFormat {
		c.Op, err = kv.Codec{}.Decode(data)
		return c, err
	}
	if len(data) < 2 {
		return c, errTruncated
	}
	m := &More{Kind: Kind(data[1])}
	c.More = m
	if m.Kind.version() > known(codec.Version) {
		return c, unknownKind(m.Kind, known(codec.Version))
	}
	d := decoder{b: data[2:]}
	if data[0] == userFormat {
		m.User, m.UserStamp, m.Internal = d.text(), d.number()-1, d.flag()
	}
	if m.Session.ID = int64(d.number()); m.Session.ID != 0 {
		m.Session.Seq, m.Session.Acked = d.number(), d.number()
	}
	m.Stamp.Log, m.Stamp.Wall = logtime.Time(d.number()), int64(d.number())
	switch m.Kind {
	case KindOp:
		if d.err == nil {
			c.Op, d.err = kv.Codec{}.Decode(d.b)
			d.b = nil
		}
	case KindTxn:
		m.Txn = d.txn(0)
	case KindCompact:
		m.Revision = d.number()
	case KindGrant:
		m.Lease, m.TTL, m.IsSession = int64(d.number()), int64(d.number()), d.flag()
	case KindRevoke:
		m.Lease = int64(d.number())
	case KindTick:
		m.Leases = make([]int64, d.count(1))
		for i := range m.Leases {
			m.Leases[i] = int64(d.number())
		}
	case KindQuota:
		m.Quota = int64(d.number())
	case KindAuth:
		m.Auth = d.change()
	case KindVersion:
		m.Version = d.number()
	case KindAlarm:
		m.Alarm = AlarmChange{Alarm: Alarm{Member: d.number(), Kind: AlarmKind(d.number())}, Lift: d.flag()}
	default:
		return c, unknownKind(m.Kind, known(codec.Version))
	}
	if d.err == nil && len(d.b) > 0 {
		d.err = errors.New("state: there is something behind the command")
	}
	return c, d.err
}

type encoder struct{ b []byte }

func (e *encoder) number(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *encoder) flag(v bool) {
	var b byte
	if v {
		b = 1
	}
	e.b = append(e.b, b)
}

func (e *encoder) flags(vs ...bool) {
	var b byte
	for i, v := range vs {
		if v {
			b |= 1 << i
		}
	}
	e.b = append(e.b, b)
}

func (e *encoder) bytes(v []byte) {
	e.number(uint64(len(v)))
	e.b = append(e.b, v...)
}

func (e *encoder) text(v string) {
	e.number(uint64(len(v)))
	e.b = append(e.b, v...)
}

func (e *encoder) span(s kv.Span) {
	e.text(s.From)
	e.text(s.To)
}

// decoder reads what an encoder wrote. After its first error it reads zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errTruncated)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) flag() bool { return d.byte() != 0 }

// count reads how many things follow, of which each takes at least size bytes. So nothing is
// allocated that the data does not pay for.
func (d *decoder) count(size int) int {
	n := d.number()
	if n > uint64(len(d.b)/size) {
		d.fail(errTruncated)
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.count(1)
	v := d.b[:n:n]
	d.b = d.b[n:]
	if n == 0 {
		return nil
	}
	return v
}

func (d *decoder) text() string { return kv.Alias(d.bytes()) }

func (d *decoder) span() kv.Span { return kv.Span{From: d.text(), To: d.text()} }
