package wal

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"balsa.example/vfs"
)

// segment is a file of the log that is open for writing.
type segment struct {
	seq   uint64
	stamp stamp
	file  vfs.File
	// begin is where the first frame is.
	begin int64
	// used is where the next frame goes. What the file has from there to size is zeros, or from
	// the next sector on what the file held before it was used again.
	used, size int64
	reused     bool
}

// createSegment makes a durable, empty segment.
func (d *directory) createSegment(id Identity, seq uint64, random io.Reader) (*segment, error) {
	h, err := newSegmentHeader(id, seq, random)
	if err != nil {
		return nil, err
	}
	name := segmentName(seq)
	if err := d.writeTemp(name, h.encode()); err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if err := d.publish(name+vfs.TempSuffix, name); err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	return d.openSegment(h, headerSize, headerSize, headerSize)
}

func newSegmentHeader(id Identity, seq uint64, random io.Reader) (header, error) {
	salt, err := drawSalt(random)
	return header{magic: segmentMagic, Identity: id, number: seq, salt: salt}, err
}

// drawSalt returns a random number of which no byte is zero.
func drawSalt(random io.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("draw salt: %w", err)
	}
	for i := range b {
		if b[i] == 0 {
			b[i] = 0xa5
		}
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func (d *directory) openSegment(h header, begin, used, size int64) (*segment, error) {
	f, err := d.fs.OpenReadWrite(d.join(segmentName(h.number)))
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return &segment{seq: h.number, stamp: h.stamp(), file: f, begin: begin, used: used, size: size, reused: h.reused}, nil
}

func (s *segment) empty() bool { return s.used == s.begin }

// pad appends zeros to the end of the sector to a frame, if there is something else. So the
// next frame begins in zeros.
func (s *segment) pad(frame []byte) []byte {
	end := s.used + int64(len(frame))
	if !s.reused || end >= s.size {
		return frame
	}
	next := min((end+sectorSize-1)/sectorSize*sectorSize, s.size)
	var zeros [sectorSize]byte
	return append(frame, zeros[:next-end]...)
}

// write puts b at the end of what is used, and syncs the file. The first n bytes of b are a
// frame, and zeros may follow. It returns how long the sync took. After an error it is unknown
// what the disk holds.
func (s *segment) write(b []byte, n int) (syncTook time.Duration, err error) {
	if _, err := s.file.WriteAt(b, s.used); err != nil {
		return 0, fmt.Errorf("write to segment %d: %w", s.seq, err)
	}
	start := time.Now()
	if err := s.file.SyncData(); err != nil {
		return 0, fmt.Errorf("sync segment %d: %w", s.seq, err)
	}
	syncTook = time.Since(start)
	s.used += int64(n)
	s.size = max(s.size, s.used)
	return syncTook, nil
}

// extend appends zeros to the file, and syncs them.
func (s *segment) extend(zeros []byte) error {
	if _, err := s.file.WriteAt(zeros, s.size); err != nil {
		return fmt.Errorf("fill segment %d: %w", s.seq, err)
	}
	if err := s.file.SyncData(); err != nil {
		return fmt.Errorf("sync segment %d: %w", s.seq, err)
	}
	s.size += int64(len(zeros))
	return nil
}

// wipe writes zeros over all that follows the last frame, and syncs them. So the rest of an
// interrupted write is never found behind a later one. If a crash interrupts wipe, the
// bytes that remain still look like an interrupted write.
func (s *segment) wipe() error {
	zeros := make([]byte, min(fillStep, s.size-s.used))
	for off := s.used; off < s.size; off += int64(len(zeros)) {
		if _, err := s.file.WriteAt(zeros[:min(int64(len(zeros)), s.size-off)], off); err != nil {
			return fmt.Errorf("wipe segment %d: %w", s.seq, err)
		}
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync segment %d: %w", s.seq, err)
	}
	return nil
}
