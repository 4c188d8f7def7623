package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/vfs"

	"github.com/cespare/xxhash/v2"
)

// files is the durable state of a Machine: a directory with
//
//	MANIFEST   the newest manifest, which says which of the others count
//	run-N      records of the history (package run)
//	small-N    the state that has no revisions
//
// A file that the manifest does not name is what a crash has left, and is removed. One number is
// given to one file only.
type files struct {
	fs      vfs.FS
	dir     string
	cluster uint64

	// work holds a token while something writes files: a checkpoint, a state that is received, a
	// rewrite. Each of them ends with a new manifest. It is no mutex, because whoever has it may
	// pause.
	work chan struct{}
	// waiting counts who waits for work, so that whoever has it hurries.
	waiting atomic.Int32
	// repairs is the repair of a run, which has work; nil: there is none. fetchedBytes counts what other members have sent.
	repairs      atomic.Pointer[repairing]
	fetchedBytes atomic.Int64
	// received is a state of another member that is durable and not installed yet.
	received *manifest
	// fetched are the files that are received, by the names that transfers of them begin with (see begunName).
	fetched map[string]*fetchedFile

	// untidy is why the last tidy has left a file. Whoever has work reads and writes it.
	untidy error

	mu sync.Mutex
	// current is the newest durable manifest, nil if there is none, and replaced is closed when there is another one. It is
	// set with mu, and known without it: mu is held while files are removed, and a disk that hangs then must let neither a
	// tick wait (see Damaged), nor who asks for a checkpoint.
	current  atomic.Pointer[manifest]
	replaced chan struct{}
	// pins count the streams that are open for each file that must stay for them.
	pins map[string]int
	// pinned are the manifests of these streams.
	pinned map[*manifest]int
	// doomed are files that are removed when no stream needs them any more.
	doomed map[string]bool
}

const (
	manifestName = "MANIFEST"
	smallPrefix  = "small-"
)

// repairPatience is how long a repair that gets nothing goes on while something else waits to write files: the member that
// it fetches from may hang for much longer, and without a checkpoint the log comes to be full. One that gets something goes
// on for up to maxRepairWait, or a run of 64 MiB would never be repaired over a line that takes some seconds for it.
const (
	repairPatience = time.Second
	maxRepairWait  = 10 * time.Second
)

// errGaveWay is why a repair was broken off. It is tried again later, as any that has failed.
var errGaveWay = errors.New("state: a repair gave way to what waited to write files")

// begin waits until nothing else writes files, or until ctx ends. A repair gives way soon. end lets the next one begin.
func (f *files) begin(ctx context.Context) error {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	late := time.NewTicker(repairPatience)
	defer late.Stop()
	for began, fetched := time.Now(), f.fetchedBytes.Load(); ; {
		select {
		case f.work <- struct{}{}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			before := fetched
			fetched = f.fetchedBytes.Load()
			f.repairs.Load().waitedFor(began, fetched > before)
		}
	}
}

func (f *files) end() { <-f.work }

// repairing is a repair that goes on.
type repairing struct {
	began    time.Time
	breakOff context.CancelCauseFunc
}

// repairing returns the context of a repair. Whoever has work calls it, and ended before end.
func (f *files) repairing(ctx context.Context) (repair context.Context, ended func()) {
	repair, breakOff := context.WithCancelCause(ctx)
	f.repairs.Store(&repairing{time.Now(), breakOff})
	return repair, func() {
		f.repairs.Store(nil)
		breakOff(nil)
	}
}

// waitedFor breaks a repair off that somebody has waited for since a time. What came before it does not count: to find the
// damage takes a while, too.
func (r *repairing) waitedFor(since time.Time, getsOn bool) {
	if r == nil {
		return
	}
	waited := min(time.Since(since), time.Since(r.began))
	if waited >= maxRepairWait || waited >= repairPatience && !getsOn {
		r.breakOff(errGaveWay)
	}
}

func (f *files) path(name string) string { return filepath.Join(f.dir, name) }

func smallName(number uint32) string { return smallPrefix + strconv.FormatUint(uint64(number), 10) }

func runName(number uint32) string { return filepath.Base(run.Files{}.Path(number)) }

// names returns the files that a manifest needs.
func (m *manifest) names() map[string]bool {
	names := map[string]bool{smallName(m.small.number): true}
	for i := range m.runs {
		names[runName(m.runs[i].File)] = true
	}
	return names
}

// failed makes an error of a sync one that stops the replica: it is not known what is durable.
func failed(err error) error {
	if err == nil || !errors.Is(err, run.ErrFailed) {
		return err
	}
	return fmt.Errorf("%w: %w", rsm.ErrMachineFailed, err)
}

// write makes a file with a content durable, but not its name. If that fails there is no file: on a full disk it would
// take the space that the next attempt needs.
func (f *files) write(name string, content io.WriterTo) (size int64, checksum uint64, err error) {
	file, err := f.fs.Create(f.path(name))
	if err != nil {
		return 0, 0, fmt.Errorf("create %s: %w", name, err)
	}
	digest := xxhash.New()
	size, err = content.WriteTo(io.MultiWriter(file, digest))
	if err != nil {
		err = fmt.Errorf("write %s: %w", name, err)
	} else if err = file.Sync(); err != nil {
		err = fmt.Errorf("%w: sync %s: %w", rsm.ErrMachineFailed, name, err)
	}
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", name, closeErr)
	}
	if err != nil {
		err = errors.Join(err, f.remove(name))
	}
	return size, digest.Sum64(), err
}

// discard removes a small file whose manifest was not written because of err, which it returns.
func (f *files) discard(s smallFile, err error) error {
	if errors.Is(err, rsm.ErrMachineFailed) { // the next process may find the manifest that names it
		return err
	}
	return errors.Join(err, f.remove(smallName(s.number)))
}

func (f *files) syncDir(d vfs.Dir) error {
	if err := d.Sync(); err != nil {
		return fmt.Errorf("%w: sync %s: %w", rsm.ErrMachineFailed, f.dir, err)
	}
	return nil
}

// publish makes a manifest the newest one. The files that it names are durable; their names need
// not be. Then it removes the files that nothing needs any more.
func (f *files) publish(m *manifest) error {
	const temp = manifestName + vfs.TempSuffix
	d, err := f.fs.OpenDir(f.dir) // first: that there are no descriptors left, say, is no failure of the disk
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer d.Close()
	if _, _, err := f.write(temp, bytes.NewReader(m.encode(f.cluster))); err != nil {
		return err
	}
	if err := f.syncDir(d); err != nil { // a manifest must not be there before the files that it names
		return err
	}
	if err := f.fs.Rename(f.path(temp), f.path(manifestName)); err != nil {
		return errors.Join(fmt.Errorf("rename the manifest: %w", err), f.remove(temp))
	}
	if err := f.syncDir(d); err != nil {
		return err
	}
	f.mu.Lock()
	f.current.Store(m)
	close(f.replaced)
	f.replaced = make(chan struct{})
	f.mu.Unlock()
	return nil
}

// Durable returns the index that the newest durable state is at, and a channel that is closed when
// there is another one.
func (m *Machine) Durable() (index raft.Index, replaced <-chan struct{}) {
	m.files.mu.Lock()
	defer m.files.mu.Unlock()
	return m.files.lastIndex(), m.files.replaced
}

// lastRevision is that of the newest durable state, 0 if there is none.
func (f *files) lastRevision() uint64 {
	newest := f.current.Load()
	if newest == nil {
		return 0
	}
	// A store that is empty, or was restored, has no records of its revision.
	return max(newest.compacted, newest.lastRevision(), 1)
}

// lastIndex is the index of the newest durable state, 0 if there is none.
func (f *files) lastIndex() raft.Index {
	if newest := f.current.Load(); newest != nil {
		return newest.position.Index
	}
	return 0
}

// read returns the newest manifest, nil if there is none.
func (f *files) read() (*manifest, error) {
	b, err := vfs.ReadFile(f.fs, f.path(manifestName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	m, err := decodeManifest(b, f.cluster)
	if errors.Is(err, ErrManifest) {
		err = fmt.Errorf("%s: %w: %w", f.path(manifestName), err, ErrDamaged)
	}
	return m, err
}

// readSmall returns the content of a small file.
func (f *files) readSmall(s smallFile) ([]byte, error) {
	path := f.path(smallName(s.number))
	b, err := vfs.ReadFile(f.fs, path)
	if run.Innocent(err) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSmall, path, err)
	}
	if int64(len(b)) != s.bytes || xxhash.Sum64(b) != s.checksum {
		return nil, fmt.Errorf("%w: %s: its bytes are others", ErrSmall, path)
	}
	return b, nil
}

// removeOld removes the files that are neither in a manifest nor needed by a stream. The history
// may still use others: they are in keep.
func (f *files) removeOld(keep map[string]bool) error {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", f.dir, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	current := map[string]bool{}
	if mf := f.current.Load(); mf != nil {
		current = mf.names()
	}
	for _, name := range names {
		ours := strings.HasPrefix(name, smallPrefix) || strings.HasPrefix(name, runName(0)[:4]) || strings.HasSuffix(name, vfs.TempSuffix)
		switch {
		case !ours || current[name] || keep[name]:
		case f.pins[name] > 0:
			f.doomed[name] = true
		default:
			err = errors.Join(err, f.remove(name))
		}
	}
	return err
}

// tidy is removeOld where a file that cannot be removed changes nothing of what was done: Maintain tells of it.
func (f *files) tidy(keep map[string]bool) { f.untidy = f.removeOld(keep) }

// remove removes a file. One that is missing already was damaged so.
func (f *files) remove(name string) error {
	if err := f.fs.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// pin keeps the files of the newest manifest until unpin. It returns nil if there is none.
func (f *files) pin() *manifest {
	f.mu.Lock()
	defer f.mu.Unlock()
	mf := f.current.Load()
	if mf == nil {
		return nil
	}
	f.pinned[mf]++
	for name := range mf.names() {
		f.pins[name]++
	}
	return mf
}

// unpin removes the files that were to be removed meanwhile.
func (f *files) unpin(m *manifest) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pinned[m]--; f.pinned[m] == 0 {
		delete(f.pinned, m)
	}
	for name := range m.names() {
		if f.pins[name]--; f.pins[name] > 0 {
			continue
		}
		delete(f.pins, name)
		if f.doomed[name] {
			delete(f.doomed, name)
			err = errors.Join(err, f.remove(name))
		}
	}
	return err
}

// streams tells whether a stream needs files.
func (f *files) streams() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pins) > 0
}

// find returns the run of a name in the newest manifest, or in one that a stream needs.
func (f *files) find(name []byte) (run.Info, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for mf := range f.pinned {
		if info, ok := mf.find(name); ok {
			return info, true
		}
	}
	return f.current.Load().find(name)
}

// find returns the run of a name. m is nil where there is no manifest yet.
func (m *manifest) find(name []byte) (run.Info, bool) {
	if m == nil {
		return run.Info{}, false
	}
	for i := range m.runs {
		if bytes.Equal(fileName(&m.runs[i]), name) {
			return m.runs[i], true
		}
	}
	return run.Info{}, false
}
