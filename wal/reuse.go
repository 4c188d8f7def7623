package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"balsa.example/vfs"
)

// A segment that is needed no more lends its file to a later one, which so needs no zeros:
//
//	header | table | frame | frame | ... | frame | zeros to the end of the sector | what was there
//
// The table has the checksum of each sector of the file as it was before. By it recovery sees
// which sectors were never written since (see DESIGN.md).

const (
	// maxReusable is how many files may wait to be used again: about as many as one compaction
	// makes obsolete.
	maxReusable = 8
	// sumSize is the size of the checksum of a sector, and of the numbers around the table.
	sumSize = 4
)

// reusedBegin is where the first frame is behind a table for so many sectors.
func reusedBegin(sectors int) int {
	return (headerSize + sumSize*(sectors+2) + sectorSize - 1) / sectorSize * sectorSize
}

// sectorSum is the checksum of a sector. One that the file ends in goes on with zeros: so it
// reads when the file has grown.
func sectorSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, noSector[:sectorSize-len(b)])
}

// noSector is a sector of zeros. It is never written to; one of each call's own would be allocated.
var noSector [sectorSize]byte

// sectorSums returns the checksum of each sector of a file.
func sectorSums(file io.ReaderAt, size int64) ([]uint32, error) {
	sums := make([]uint32, 0, (size+sectorSize-1)/sectorSize)
	buf := make([]byte, min(size, fillStep))
	for off := int64(0); off < size; off += int64(len(buf)) {
		b := buf[:min(size-off, int64(len(buf)))]
		if n, err := file.ReadAt(b, off); n < len(b) {
			return nil, err
		}
		for len(b) > 0 {
			n := min(len(b), sectorSize)
			sums = append(sums, sectorSum(b[:n]))
			b = b[n:]
		}
	}
	return sums, nil
}

// appendTable appends the table to a header, and zeros up to the first frame: the number of
// sums, the sums, and the checksum of both.
func (s stamp) appendTable(b []byte, sums []uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(sums)))
	for _, sum := range sums {
		b = binary.LittleEndian.AppendUint32(b, sum)
	}
	b = binary.LittleEndian.AppendUint32(b, s.crc(b[headerSize:]))
	return append(b, make([]byte, reusedBegin(len(sums))-len(b))...)
}

// readTable reads the table in the image of a segment.
func (s stamp) readTable(img []byte) ([]uint32, error) {
	b := img[headerSize:]
	if len(b) < sumSize {
		return nil, errors.New("the file ends before its table")
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	end := sumSize * (n + 1)
	if uint64(len(b)) < end+sumSize || len(img) < reusedBegin(int(n)) {
		return nil, errors.New("the file ends inside its table")
	}
	if binary.LittleEndian.Uint32(b[end:]) != s.crc(b[:end]) {
		return nil, errors.New("wrong checksum of the table")
	}
	sums := make([]uint32, n)
	for i := range sums {
		sums[i] = binary.LittleEndian.Uint32(b[sumSize*(i+1):])
	}
	if begin := reusedBegin(len(sums)); !allZero(img[headerSize+end+sumSize : begin]) {
		return nil, errors.New("data behind the table")
	}
	return sums, nil
}

// isOld tells whether the sector that off is in holds what it did before the file was used
// again.
func (s stamp) isOld(img []byte, off int) bool {
	sector := off / sectorSize
	if sector >= len(s.old) {
		return false
	}
	return sectorSum(img[sector*sectorSize:min((sector+1)*sectorSize, len(img))]) == s.old[sector]
}

// untouched tells whether nothing was written from off on.
func (s stamp) untouched(img []byte, off int) bool {
	for off < len(img) {
		next := min((off/sectorSize+1)*sectorSize, len(img))
		if !allZero(img[off:next]) && !s.isOld(img, off) {
			return false
		}
		off = next
	}
	return true
}

// hasHole tells whether one of the sectors that img[off:end] touches was not written.
func (s stamp) hasHole(img []byte, off, end int) bool {
	for off < end {
		next := min((off/sectorSize+1)*sectorSize, end)
		if allZero(img[off:next]) || s.isOld(img, off) {
			return true
		}
		off = next
	}
	return false
}

// reuseSegment makes a durable, empty segment of the file temp.
func (d *directory) reuseSegment(id Identity, seq uint64, random io.Reader, temp string) (*segment, error) {
	h, err := newSegmentHeader(id, seq, random)
	if err != nil {
		return nil, err
	}
	h.reused = true
	begin, size, err := d.overwriteFront(temp, h)
	if err != nil {
		return nil, fmt.Errorf("use %s again: %w", temp, err)
	}
	if err := d.publish(temp, segmentName(seq)); err != nil {
		return nil, fmt.Errorf("use %s again: %w", temp, err)
	}
	return d.openSegment(h, begin, begin, size)
}

// overwriteFront puts the header and the table into a file, durably. It returns where the first
// frame is to be, and the size of the file.
func (d *directory) overwriteFront(temp string, h header) (begin, size int64, err error) {
	f, err := d.fs.OpenReadWrite(d.join(temp))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	sums, err := sectorSums(f, info.Size())
	if err != nil {
		return 0, 0, err
	}
	front := h.stamp().appendTable(h.encode(), sums)
	if int64(len(front)) > info.Size() {
		return 0, 0, errors.New("the file is too short")
	}
	if _, err := f.WriteAt(front, 0); err != nil {
		return 0, 0, err
	}
	return int64(len(front)), info.Size(), f.Sync()
}

// wants tells whether a file of that size is to be kept, to be used again. One that is too short
// would have to be filled with zeros mostly, and one that is longer held a huge batch. s.mu is
// held.
func (s *spare) wants(size int64) bool {
	begin := int64(reusedBegin(int(size / sectorSize)))
	return !s.opts.noReuse && size >= s.opts.SegmentSize/2 && size <= s.opts.SegmentSize && begin <= size/4 &&
		len(s.mu.reusable) < maxReusable && s.checkSpace() == nil
}

// hasRoomFor tells whether the file of a segment is to be kept, to be used again.
func (s *spare) hasRoomFor(info segmentInfo) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wants(info.size)
}

// keep takes a file whose temporary name is durable.
func (s *spare) keep(temp string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reusable = append(s.mu.reusable, temp)
}

// adopt is for recovery: it keeps a temporary file if that may be used again.
func (s *spare) adopt(temp string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := s.dir.fs.Stat(s.dir.join(temp))
	if err != nil || !strings.HasSuffix(temp, segmentSuffix+vfs.TempSuffix) || !s.wants(info.Size()) {
		return false
	}
	s.mu.reusable = append(s.mu.reusable, temp)
	return true
}

// reuse makes the segment behind the newest one of a file that was kept. s.mu is held.
func (s *spare) reuse() error {
	last := len(s.mu.reusable) - 1
	temp := s.mu.reusable[last]
	s.mu.reusable = s.mu.reusable[:last]
	next, err := s.dir.reuseSegment(s.id, s.mu.newest+1, s.opts.Rand, temp)
	if err != nil {
		return errors.Join(err, s.dir.remove(temp))
	}
	s.mu.segment, s.mu.newest = next, next.seq
	s.size.Store(next.size)
	return nil
}
