//balsa:pure

package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

const (
	headerMagic  = "balsarun"
	trailerMagic = "runended"
	format       = 1

	headerSize  = 64
	trailerSize = 64

	// headerRewritten marks a run whose dead records are gone: its records do not give its chain
	// hash any more.
	headerRewritten = 1 << 0
)

// header is the beginning of a file:
//
//	0 magic | 8 format u32 | 12 flags u32 | 16 cluster u64 | 24 first revision u64
//	32 chain hash before u64 | 40 zeros | 56 hash u64
//
// All of it is known before the file is read: from the options and the manifest. So it is compared,
// not believed.
type header struct {
	cluster, first, chainBefore uint64
	rewritten                   bool
}

// encode returns the bytes. Their hash is the salt of all that follows.
func (h header) encode() (b [headerSize]byte, salt uint64) {
	copy(b[:], headerMagic)
	binary.LittleEndian.PutUint32(b[8:], format)
	if h.rewritten {
		binary.LittleEndian.PutUint32(b[12:], headerRewritten)
	}
	binary.LittleEndian.PutUint64(b[16:], h.cluster)
	binary.LittleEndian.PutUint64(b[24:], h.first)
	binary.LittleEndian.PutUint64(b[32:], h.chainBefore)
	salt = xxhash.Sum64(b[:56])
	binary.LittleEndian.PutUint64(b[56:], salt)
	return b, salt
}

// check says why b is not this header.
func (h header) check(b []byte) error {
	want, _ := h.encode()
	switch {
	case bytes.Equal(b, want[:]):
		return nil
	case len(b) < headerSize || string(b[:8]) != headerMagic || xxhash.Sum64(b[:56]) != binary.LittleEndian.Uint64(b[56:]):
		return errors.New("no header of a run")
	case binary.LittleEndian.Uint32(b[8:]) != format:
		return fmt.Errorf("format %d, this program reads %d", binary.LittleEndian.Uint32(b[8:]), format)
	case binary.LittleEndian.Uint64(b[16:]) != h.cluster:
		return fmt.Errorf("the file is of cluster %016x, want %016x", binary.LittleEndian.Uint64(b[16:]), h.cluster)
	}
	return errors.New("the header is of another run")
}

// trailer is the end of a sealed file:
//
//	0 magic | 8 records u64 | 16 last revision u64 | 24 chain hash after u64
//	32 offset of the index u64 | 40 offset of the steps u64 | 48 zeros | 56 hash u64
type trailer struct {
	records          int64
	last, chainAfter uint64
	indexAt, stepsAt int64
}

func (t trailer) encode(salt uint64, offset int64) (b [trailerSize]byte) {
	copy(b[:], trailerMagic)
	for i, v := range [...]uint64{uint64(t.records), t.last, t.chainAfter, uint64(t.indexAt), uint64(t.stepsAt), 0} {
		binary.LittleEndian.PutUint64(b[8+8*i:], v)
	}
	binary.LittleEndian.PutUint64(b[56:], xxhash.Sum64(b[:56])^footerPlace(salt, offset))
	return b
}

var errTrailer = errors.New("no trailer of a sealed run")

// decodeTrailer reads the trailer of a file whose trailer begins at offset.
func decodeTrailer(b []byte, salt uint64, offset int64) (t trailer, err error) {
	if len(b) != trailerSize || string(b[:8]) != trailerMagic ||
		binary.LittleEndian.Uint64(b[56:]) != xxhash.Sum64(b[:56])^footerPlace(salt, offset) {
		return t, errTrailer
	}
	u := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	t = trailer{records: int64(u(8)), last: u(16), chainAfter: u(24), indexAt: int64(u(32)), stepsAt: int64(u(40))}
	if t.indexAt < headerSize || t.stepsAt < t.indexAt || t.stepsAt > offset {
		return t, errTrailer
	}
	return t, nil
}
