package state

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"balsa.example/kv"
	"balsa.example/state/auth"
	"balsa.example/state/lease"
	"balsa.example/state/logtime"

	"github.com/cespare/xxhash/v2"
)

// small is an image of the state that has no revisions. It is taken between two commands, in a
// time that does not grow with the store, and written while later ones are executed. Its file is
//
//	magic "BALSASML", format (4 bytes), length of the fields (4 bytes), fields, leases
//
// Users and roles are the last of the fields of format 2. Format 3 has the cluster's version behind them, and
// is written where that was raised. Format 4 has what the quota refused last, and the alarms, and is written
// from version 3 on.
//
// The manifest has its checksum.
type small struct {
	totals kv.Totals
	quota  int64
	// version is that of commands, 0 if it was never raised.
	version uint64
	refused int64
	alarms  []Alarm
	times   timesImage
	users   *auth.Table
	leases  *lease.Image
}

const (
	smallMagic  = "BALSASML"
	smallFormat = 4 // format 1 has no users, format 2 no version, format 3 no alarms
	smallHead   = len(smallMagic) + 4 + 4
)

// ErrSmall says that the file small-N of a manifest is damaged.
var ErrSmall = errors.New("state: the file with leases and totals is damaged")

// WriteTo writes the file.
func (s *small) WriteTo(w io.Writer) (int64, error) {
	e := encoder{s.totals.Append(nil)}
	e.number(uint64(s.quota))
	e.number(uint64(s.times.gap))
	e.number(uint64(s.times.wall))
	e.number(uint64(len(s.times.marks)))
	for _, m := range s.times.marks {
		e.number(uint64(m.At))
		e.number(m.Revision)
	}
	e.bytes(s.users.Append(nil))
	format := uint32(2)
	if s.version != 0 {
		format = 3
		e.number(s.version)
	}
	if s.version >= alarmVersion {
		format = smallFormat
		e.number(uint64(s.refused))
		e.number(uint64(len(s.alarms)))
		for _, a := range s.alarms {
			e.number(uint64(a.Kind))
			e.number(a.Member)
		}
	}
	b := append([]byte(smallMagic), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[len(smallMagic):], format)
	binary.LittleEndian.PutUint32(b[len(smallMagic)+4:], uint32(len(e.b)))
	n, err := w.Write(append(b, e.b...))
	if err != nil {
		return int64(n), err
	}
	m, err := s.leases.WriteTo(w)
	return int64(n) + m, err
}

// decodeSmall reads the file, whose checksum was checked.
func decodeSmall(b []byte) (s small, leases *lease.Table, err error) {
	if len(b) < smallHead || string(b[:len(smallMagic)]) != smallMagic {
		return s, nil, ErrSmall
	}
	format, length := binary.LittleEndian.Uint32(b[len(smallMagic):]), binary.LittleEndian.Uint32(b[len(smallMagic)+4:])
	if format == 0 || format > smallFormat {
		return s, nil, fmt.Errorf("%w: the file with leases and totals has format %d, this program reads up to %d", ErrNewer, format, smallFormat)
	}
	b = b[smallHead:]
	if uint64(length) > uint64(len(b)) {
		return s, nil, ErrSmall
	}
	fields, b := b[:length], b[length:]
	if s.totals, fields, err = kv.DecodeTotals(fields); err != nil {
		return s, nil, err
	}
	d := decoder{b: fields}
	s.quota, s.times.gap, s.times.wall = int64(d.number()), logtime.Time(d.number()), int64(d.number())
	s.times.marks = make([]timeMark, d.count(2))
	for i := range s.times.marks {
		s.times.marks[i] = timeMark{logtime.Time(d.number()), d.number()}
	}
	if s.users = auth.New(); format > 1 {
		if s.users, err = auth.Decode(d.bytes()); err != nil {
			return s, nil, err
		}
	}
	if format > 2 {
		s.version = d.number()
	}
	if format > 3 {
		s.refused = int64(d.number())
		s.alarms = make([]Alarm, d.count(2))
		for i := range s.alarms {
			s.alarms[i] = Alarm{Kind: AlarmKind(d.number()), Member: d.number()}
		}
	}
	if d.err != nil {
		return s, nil, ErrSmall
	}
	if leases, err = lease.Decode(bufio.NewReader(bytes.NewReader(b))); errors.Is(err, lease.ErrNewerImage) {
		err = fmt.Errorf("%w: %w", ErrNewer, err)
	}
	return s, leases, err
}

// small takes an image of the state that has no revisions.
func (p *present) small() *small {
	p.leases.mu.Lock()
	defer p.leases.mu.Unlock()
	return &small{
		totals: p.keys.Totals(), quota: p.quota.Load(), version: p.version.Load(), refused: p.refused.Load(), alarms: p.alarms.list(),
		times: p.times.image(), users: p.users.table(), leases: p.leases.table.Image(),
	}
}

// mix is a hash of numbers.
func mix(numbers ...uint64) uint64 {
	var b []byte
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return xxhash.Sum64(b)
}
