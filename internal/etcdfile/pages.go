package etcdfile

import (
	"encoding/binary"
	"io"
	"math"

	"go.etcd.io/bbolt"
)

// The pages of a database of bbolt, as its package internal/common lays them out, in the order
// of bytes of the machine.
//
//	page     id 8, flags 2, count 2, pages that follow 4; then count elements, then what those name
//	branch   position 4, length of the key 4, page 8
//	leaf     flags 4, position 4, length of the key 4, length of the value 4
//	bucket   root 8, sequence 8, and a leaf page in place if the root is 0
//
// A position counts from the beginning of its element.
const (
	pageHeader   = 16
	pageElement  = 16
	bucketHeader = 16

	flagBranch = 1
	flagLeaf   = 2
	// elementBucket is the flag of a leaf's element whose value is a bucket.
	elementBucket = 1
)

// pages walks over the pages that a transaction can reach, and tells whether each stays within its bounds.
// bbolt believes what a page says of its own contents: it would read beside what it has allocated.
type pages struct {
	file  io.ReaderAt
	size  int   // of a page
	bytes int64 // of the file
	seen  map[uint64]bool
}

// checkPages checks all pages that are reached from the root.
func checkPages(tx *bbolt.Tx, file io.ReaderAt, bytes int64) error {
	p := &pages{file: file, size: tx.DB().Info().PageSize, bytes: bytes, seen: make(map[uint64]bool)}
	return p.page(uint64(tx.Cursor().Bucket().Root()))
}

// page checks the page of an id, and those below it.
func (p *pages) page(id uint64) error {
	data, err := p.read(id, 1)
	if err != nil {
		return err
	}
	if got := binary.NativeEndian.Uint64(data); got != id {
		return damaged("page %d says that it is page %d", id, got)
	}
	if follow := uint64(binary.NativeEndian.Uint32(data[12:])); follow > 0 {
		if data, err = p.read(id, 1+follow); err != nil {
			return err
		}
	}
	for i := range uint64(len(data) / p.size) {
		if p.seen[id+i] {
			return damaged("page %d is named twice", id+i)
		}
		p.seen[id+i] = true
	}
	return p.contents(id, data, 0)
}

// read reads a page and those that belong to it.
func (p *pages) read(id, count uint64) ([]byte, error) {
	all := uint64(p.bytes) / uint64(p.size)
	if id >= all || count > all-id || count > math.MaxInt32 {
		return nil, damaged("page %d, %d long, is outside of the file", id, count)
	}
	data := make([]byte, count*uint64(p.size))
	_, err := p.file.ReadAt(data, int64(id)*int64(p.size))
	return data, err
}

// maxDepth bounds how many buckets stand in one another in a page. A file of etcd has one.
const maxDepth = 16

// contents checks what stands in a page, or, at some depth, in one in place of a bucket.
func (p *pages) contents(id uint64, data []byte, depth int) error {
	if len(data) < pageHeader || depth > maxDepth {
		return damaged("a bucket in page %d is cut", id)
	}
	flags, count := binary.NativeEndian.Uint16(data[8:]), int(binary.NativeEndian.Uint16(data[10:]))
	if pageHeader+count*pageElement > len(data) {
		return damaged("page %d has no room for %d elements", id, count)
	}
	if flags != flagLeaf && (flags != flagBranch || count == 0 || depth > 0) {
		return damaged("page %d has the flags %#x and %d elements", id, flags, count)
	}
	for i := range count {
		var err error
		if element := data[pageHeader+i*pageElement:]; flags == flagBranch {
			err = p.branch(id, element)
		} else {
			err = p.leaf(id, element, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) branch(id uint64, element []byte) error {
	if _, err := within(id, element, binary.NativeEndian.Uint32(element), binary.NativeEndian.Uint32(element[4:]), 0); err != nil {
		return err
	}
	return p.page(binary.NativeEndian.Uint64(element[8:]))
}

func (p *pages) leaf(id uint64, element []byte, depth int) error {
	value, err := within(id, element, binary.NativeEndian.Uint32(element[4:]), binary.NativeEndian.Uint32(element[8:]), binary.NativeEndian.Uint32(element[12:]))
	if err != nil || binary.NativeEndian.Uint32(element)&elementBucket == 0 {
		return err
	}
	if len(value) < bucketHeader {
		return damaged("a bucket in page %d is cut", id)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return p.page(root)
	}
	return p.contents(id, value[bucketHeader:], depth+1)
}

// within returns the value of an element, whose key and value have to be in the page.
func within(id uint64, element []byte, position, key, value uint32) ([]byte, error) {
	from := uint64(position) + uint64(key)
	if position < pageElement || from+uint64(value) > uint64(len(element)) {
		return nil, damaged("an element of page %d is outside of it", id)
	}
	return element[from : from+uint64(value)], nil
}
