package run

import (
	"fmt"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Info describes what is durable of one run, as a manifest lists it.
type Info struct {
	// File is the number of the file, this member's own. Ref.Run names it.
	File uint32
	// First and Last are the first and the last revision that the run covers. After a rewrite there
	// may be no record of either.
	First, Last uint64
	// Records is the number of records in the file, and RecordBytes their length.
	Records, RecordBytes int64
	// Bytes is the length of the file. If the file is longer, the rest is what a flush left that a
	// crash interrupted.
	Bytes int64
	// Checksum is the 64-bit xxHash of these bytes.
	Checksum uint64
	// ChainBefore and ChainAfter are the chain hash before the first record that the run covers, and
	// after the last.
	ChainBefore, ChainAfter uint64
	// Sealed runs have a footer and are never written again. Only the last run is not sealed.
	Sealed bool
	// Rewritten runs lack records, so the others do not give ChainAfter.
	Rewritten bool
}

// Mark is the end of a complete revision in the history.
type Mark struct {
	Revision, Chain uint64
	offset          uint32 // in the run that has the revision
	records         int64  // there, up to the mark
}

// run is a file, or what will become one.
type run struct {
	number uint32
	header header
	salt   uint64
	// mem is nil when only the file has the records.
	mem atomic.Pointer[memory]
	// complete is where the last complete revision in mem ends.
	complete atomic.Uint32

	// end is nil while records are appended. info is what the file has durably. History.mu guards
	// both.
	end  *Mark
	info Info
	// digest is the hash of the file's bytes so far. It is the worker's.
	digest xxhash.Digest
}

func newRun(number uint32, h header) *run {
	_, salt := h.encode()
	r := &run{number: number, header: h, salt: salt}
	r.digest.Reset()
	r.info = Info{File: number, First: h.first, ChainBefore: h.chainBefore, Rewritten: h.rewritten}
	return r
}

// openedRun returns the run that a manifest lists.
func openedRun(cluster uint64, info Info) *run {
	r := newRun(info.File, headerOf(cluster, info))
	r.info = info
	return r
}

func headerOf(cluster uint64, info Info) header {
	return header{cluster: cluster, first: info.First, chainBefore: info.ChainBefore, rewritten: info.Rewritten}
}

// mark is the end of what an Info describes.
func (i Info) mark() Mark {
	return Mark{Revision: i.Last, Chain: i.ChainAfter, records: i.Records}
}

// CheckInfos refuses lists that no history can have: Open refuses them too, and then they may be in a manifest already.
func CheckInfos(infos []Info, nextFile uint32) error {
	seen := map[uint32]bool{}
	for n, i := range infos {
		switch {
		case i.File == 0 || i.File >= nextFile || seen[i.File]:
			return fmt.Errorf("run: run %d of the list: file %d is used twice, or not below the next file %d", n, i.File, nextFile)
		case i.Bytes < headerSize || i.Bytes > MaxRunBytes || i.First > i.Last || i.Records < 0:
			return fmt.Errorf("run: run %d of the list: %d bytes, %d records, revisions %d to %d", n, i.Bytes, i.Records, i.First, i.Last)
		case !i.Sealed && (n < len(infos)-1 || i.Rewritten):
			return fmt.Errorf("run: run %d of %d in the list is not sealed", n, len(infos))
		case n > 0 && (i.First <= infos[n-1].Last || i.ChainBefore != infos[n-1].ChainAfter):
			return fmt.Errorf("run: run %d of the list begins at revision %d with chain hash %016x, the one before ends at %d with %016x",
				n, i.First, i.ChainBefore, infos[n-1].Last, infos[n-1].ChainAfter)
		}
		seen[i.File] = true
	}
	return nil
}
