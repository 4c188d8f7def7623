package run

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"balsa.example/vfs"
)

// Options are the same for all replicas but FS and Dir. With another RunBytes a replica is right as
// well, but its files are no others'.
type Options struct {
	FS      vfs.FS
	Dir     string // exists
	Cluster uint64
	// RunBytes is the length at which a run ends, with the revision that reaches it. 0: 32 MiB.
	RunBytes int64
	// CacheBytes is how much of the newest sealed runs stays in memory. 0: 64 MiB; below 0: nothing.
	CacheBytes int64
	// Gentle is that of Files.
	Gentle func() bool
	// OpenFiles is how many files are kept open for reading. 0: 512.
	OpenFiles int
}

// MaxRunBytes bounds a run, and so a revision, which is in one run: offsets have 32 bits.
const MaxRunBytes = 1<<32 - 1

const (
	defaultRunBytes   = 32 << 20
	defaultCacheBytes = 64 << 20
	defaultOpenFiles  = 512
	// maxChunk and minChunk bound the memory that a run takes at once.
	maxChunk = 1 << 20
	minChunk = 4 << 10
)

func (o *Options) setDefaults() {
	if o.RunBytes <= 0 {
		o.RunBytes = defaultRunBytes
	}
	o.RunBytes = min(o.RunBytes, MaxRunBytes/4)
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = defaultOpenFiles
	}
}

// chunkBytes is an eighth of a run, so that small runs take little memory.
func (o *Options) chunkBytes() int { return int(min(max(o.RunBytes/8, minChunk), maxChunk)) }

// History is the records of a store, in the order of revisions.
//
// One goroutine at a time appends, which is Append and Mark. One at a time does the work in the
// background: Flush, Rewrite, what Rewrite returns, and Repair. Any goroutine reads.
type History struct {
	opts  Options
	files Files
	open  *openFiles

	mu struct {
		sync.RWMutex
		runs   []*run // in the order of revisions
		next   uint32
		closed bool
	}
	// byFile are those in runs, and those that were rewritten and not removed yet. Each read looks a
	// run up here, so that this takes no lock: a change makes another map, while mu is locked.
	byFile atomic.Pointer[map[uint32]*run]

	// What follows is the appender's.
	run     *run // that is appended to; nil if there is none
	last    uint64
	chain   uint64
	records int64 // in run
	// appended is how many bytes were appended since Open.
	appended int64
	whole    bool // the last record ended its revision
	mark     Mark

	// What follows is the worker's.
	failed   error
	newNames bool // a file was made, and the directory not synced since
}

// Open opens the history that a manifest lists. Files are numbered from nextFile on.
//
// Of a sealed run only the length is looked at; a run that is not sealed is read and checked.
func Open(opts Options, infos []Info, nextFile uint32) (*History, error) {
	opts.setDefaults()
	nextFile = max(nextFile, 1)
	if err := CheckInfos(infos, nextFile); err != nil {
		return nil, err
	}
	h := &History{opts: opts, files: Files{FS: opts.FS, Dir: opts.Dir, Cluster: opts.Cluster, Gentle: opts.Gentle}, whole: true}
	h.open = newOpenFiles(h.files, opts.OpenFiles)
	h.mu.next = nextFile
	byFile := map[uint32]*run{}
	h.byFile.Store(&byFile)
	for _, info := range infos {
		r := openedRun(opts.Cluster, info)
		if err := h.openRun(r, info); err != nil {
			return nil, err
		}
		h.mu.runs = append(h.mu.runs, r)
		byFile[info.File] = r // nobody reads yet
		h.mark = info.mark()
	}
	h.last, h.chain = h.mark.Revision, h.mark.Chain
	if r := h.run; r != nil {
		h.records = r.info.Records
		h.mark.offset = uint32(r.info.Bytes)
	}
	return h, nil
}

func (h *History) openRun(r *run, info Info) error {
	stat, err := h.files.FS.Stat(h.files.Path(info.File))
	switch {
	case err != nil:
		return h.files.unreadable(info.File, 0, err)
	case stat.Size() < info.Bytes:
		return h.files.corrupt(info.File, stat.Size(), fmt.Errorf("the file ends, want %d bytes", info.Bytes))
	}
	if info.Sealed {
		end := info.mark()
		r.end = &end
		return nil
	}
	h.run = r
	return h.load(r, info)
}

// load reads an unsealed run into memory.
func (h *History) load(r *run, info Info) error {
	file, err := h.files.open(info.File)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := h.files.checkHeader(file, info); err != nil {
		return err
	}
	head, _ := r.header.encode()
	mem := newMemory(h.opts.chunkBytes(), head[:])
	r.digest.Write(head[:])
	records, err := h.files.records(file, info, 0)
	if err != nil {
		return err
	}
	var rec record
	n, chain, last := int64(0), info.ChainBefore, uint64(0)
	for ; records.at < records.end; n++ {
		if err := records.next(&rec); err != nil {
			return err
		}
		copy(mem.room(len(rec.raw)), rec.raw)
		r.digest.Write(rec.raw)
		chain, last = link(chain, rec.hash), rec.Mod
	}
	if r.digest.Sum64() != info.Checksum || n != info.Records || chain != info.ChainAfter || last != info.Last || !rec.Last {
		return h.files.corrupt(info.File, headerSize, errOther)
	}
	r.mem.Store(mem)
	r.complete.Store(mem.size)
	return nil
}

// Files returns what can be done with the files by themselves.
func (h *History) Files() Files { return h.files }

// Revision is that of the last record. Only the appender may ask.
func (h *History) Revision() uint64 { return h.last }

// Chain is the chain hash after the last record. It tells two histories apart, deletes included, and
// does not depend on what was compacted. Only the appender may ask.
func (h *History) Chain() uint64 { return h.chain }

// Mark returns the end of the last complete revision. Only the appender may ask.
func (h *History) Mark() Mark { return h.mark }

// Appended is how many bytes were appended since Open. Only the appender may ask.
func (h *History) Appended() int64 { return h.appended }

// NextFile is the number that the next file will have.
func (h *History) NextFile() uint32 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.mu.next
}

// NewFile takes the next number, for a file that Receive will write.
func (h *History) NewFile() uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.next++
	return h.mu.next - 1
}

// Runs describes what is durable of each run. A manifest lists what Flush returns.
func (h *History) Runs() []Info {
	h.mu.RLock()
	defer h.mu.RUnlock()
	infos := make([]Info, 0, len(h.mu.runs))
	for _, r := range h.mu.runs {
		infos = append(infos, r.info)
	}
	return infos
}

// Unwritten is how many bytes of complete revisions are in memory alone, until the next Flush.
func (h *History) Unwritten() (bytes int64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, r := range h.mu.runs {
		if !r.info.Sealed {
			bytes += int64(r.complete.Load()) - max(r.info.Bytes, headerSize)
		}
	}
	return bytes
}

func (h *History) lookup(file uint32) *run { return (*h.byFile.Load())[file] }

// changeFiles changes byFile. Caller holds mu.
func (h *History) changeFiles(change func(byFile map[uint32]*run)) {
	byFile := maps.Clone(*h.byFile.Load())
	change(byFile)
	h.byFile.Store(&byFile)
}

// Close ends the history. Whoever reads a record goes on to; later calls of Read, Scan and Flush
// return ErrGone. Neither the appender nor the worker may be at work.
func (h *History) Close() error {
	h.mu.Lock()
	numbers := slices.Collect(maps.Keys(*h.byFile.Load()))
	h.changeFiles(func(byFile map[uint32]*run) { clear(byFile) })
	h.mu.runs, h.mu.closed = nil, true
	h.mu.Unlock()
	for _, n := range numbers {
		h.open.forget(n)
	}
	return nil
}
