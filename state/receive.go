package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// A member that lacks the log that it needs takes the whole manifest of another one. The stream
// between them has only that and the small file:
//
//	sender's id (8 bytes), length (8 bytes), manifest, small file
//
// The receiver then fetches the runs that it lacks, file by file, by their checksums. Of its own it
// uses only files that the sender's manifest names, with the same bytes, and the beginning of the
// run that it was writing itself: if the sender's run begins with the same header, only what
// follows is fetched. That guess is made certain by the checksum of the whole. If it was wrong
// the whole is fetched.

// OpenState is part of rsm.DurableMachine. The files of the manifest stay until the stream is
// closed.
func (m *Machine) OpenState() (rsm.StateStream, error) {
	mf := m.files.pin()
	if mf == nil {
		return rsm.StateStream{Data: io.NopCloser(bytes.NewReader(nil))}, nil
	}
	small, err := m.files.readSmall(mf.small)
	if err != nil {
		return rsm.StateStream{}, errors.Join(m.noticed(err), m.files.unpin(mf))
	}
	data := io.MultiReader(bytes.NewReader(imageHead(m.cfg.ID, mf, m.cfg.Cluster)), bytes.NewReader(small))
	return rsm.StateStream{Position: mf.position, Data: &pinnedStream{Reader: data, m: m, mf: mf}}, nil
}

// pinnedStream keeps the files of a manifest until it is closed.
type pinnedStream struct {
	io.Reader
	m    *Machine
	mf   *manifest
	once sync.Once
	err  error
}

func (s *pinnedStream) Close() error {
	s.once.Do(func() { s.err = s.m.files.unpin(s.mf) })
	return s.err
}

// fileName is how members call a run: by what is in it.
func fileName(i *run.Info) []byte {
	b := binary.LittleEndian.AppendUint64(nil, i.Checksum)
	return binary.LittleEndian.AppendUint64(b, uint64(i.Bytes))
}

// stateName is what members call the stream of OpenState where they fetch it. With an index (8 bytes) behind it the
// member that is asked is to make one checkpoint if its durable state is behind that: it may be behind still, and is asked
// again.
const stateName = "state"

// UseFetcher is part of rsm.FetchingMachine.
func (m *Machine) UseFetcher(f rsm.Fetcher) { m.fetcher = f }

// OpenFile opens a run for another member, from an offset on. The error is fs.ErrNotExist if no
// manifest that is in use has it.
//
// The other member finds damage in what it gets, and begins again. It tells nobody. So this member has to
// notice what it gives away. A bad schedule otherwise: a run of the leader is damaged, which nobody reads
// but those that need the leader's state. They ask for it again and again, until the leader has read all
// runs before that one by itself, at its leisure, and only then hands over to a member that is whole.
func (m *Machine) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	if index, ok := bytes.CutPrefix(name, []byte(stateName)); ok && offset == 0 && (len(index) == 0 || len(index) == 8) {
		m.compared.Store(m.Revision())
		if len(index) > 0 {
			m.awaited.Store(binary.LittleEndian.Uint64(index))
		}
		s, err := m.OpenState()
		if err != nil { // a file that is missing is not one that this member does not have any more
			return nil, fmt.Errorf("open the state: %v", err)
		}
		return s.Data, nil
	}
	info, ok := m.files.find(name)
	if !ok {
		return nil, fmt.Errorf("run %x: %w", name, fs.ErrNotExist)
	}
	files := m.present.Load().history.Files()
	r, err := files.Open(info)
	if err != nil {
		if now, ok := m.files.find(name); !ok || now.File != info.File { // it was removed meanwhile, as it should
			return nil, fmt.Errorf("run %x: %w", name, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("run %x: %v", name, m.noticed(err))
	}
	if _, err := r.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return files.Checked(info, offset, r, func(damage error) { _ = m.noticed(damage) }), nil
}

// StateOffset is part of rsm.DurableMachine. The stream is short; what takes long is resumed by
// the files that are there.
func (m *Machine) StateOffset(raft.SnapshotMeta, rsm.StreamID) int64 { return 0 }

// ReceiveState is part of rsm.DurableMachine.
func (m *Machine) ReceiveState(ctx context.Context, position raft.SnapshotMeta, _ rsm.StreamID, offset int64, data io.Reader) (err error) {
	if offset != 0 {
		return fmt.Errorf("receive state %s: its data begins at %d, want 0", position, offset)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	if err := m.files.begin(ctx); err != nil {
		return fmt.Errorf("receive state %s: %w", position, err)
	}
	defer m.files.end()
	end := m.begin(WorkReceive)
	defer func() { end(err) }()
	from, mf, small, err := m.readStream(data)
	if err != nil {
		return fmt.Errorf("receive state %s of member %s: %w", position, from, err)
	}
	if mf.position.Index != position.Index || mf.position.Term != position.Term {
		return fmt.Errorf("receive state %s: the manifest is at %s", position, mf.position)
	}
	history := m.present.Load().history
	m.cfg.Gently(func() { err = m.store(ctx, storing{m.filesOf(mf), history.NewFile}, from, mf, small) })
	if err != nil {
		return fmt.Errorf("receive state %s of member %s: %w", position, from, err)
	}
	m.files.received = mf
	return nil
}

// filesOf are the files of the runs of a manifest.
func (m *Machine) filesOf(mf *manifest) run.Files {
	return run.Files{FS: m.cfg.FS, Dir: m.cfg.Dir, Cluster: mf.historyIn(m.cfg.Cluster)}
}

// storing says where files go, and how they are numbered.
type storing struct {
	run.Files
	number func() uint32
}

// store makes the state of another member the newest durable one of this member.
func (m *Machine) store(ctx context.Context, to storing, from raft.NodeID, mf *manifest, small []byte) (err error) {
	if err := m.forgetBegun(to, mf); err != nil {
		return err
	}
	for i := range mf.runs {
		if err := m.obtain(ctx, to, from, &mf.runs[i]); err != nil {
			return failed(err)
		}
	}
	mf.small.number, mf.nextFile = to.number(), to.number()
	if err := mf.check(); err != nil { // two runs of the sender may have become one file
		return err
	}
	mf.small.bytes, mf.small.checksum, err = m.files.write(smallName(mf.small.number), bytes.NewReader(small))
	if err != nil {
		return err
	}
	if err := m.files.publish(mf); err != nil {
		return m.files.discard(mf.small, err)
	}
	m.files.fetched = nil
	return nil
}

// readStream reads a stream, and checks all of it, also what the next start would refuse: then this member would have lost
// what it had. It tells the sender as soon as that is known.
func (m *Machine) readStream(data io.Reader) (from raft.NodeID, mf *manifest, small []byte, err error) {
	b, err := readImage(data, m.cfg.Cluster)
	if len(b) >= imageHeadBytes {
		from = raft.NodeID(binary.LittleEndian.Uint64(b))
	}
	if err != nil {
		return from, nil, nil, err
	}
	im, err := decodeImage(b, m.cfg.Cluster)
	if err == nil {
		err = im.state.usableBy(m.cfg.Version)
	}
	if err == nil {
		err = im.consistent()
	}
	if err != nil {
		return from, nil, nil, err
	}
	return from, im.manifest, im.small, nil
}

// obtain gives a run of the sender a file of this member, and sets info.File to its number.
func (m *Machine) obtain(ctx context.Context, to storing, from raft.NodeID, info *run.Info) error {
	f := &m.files
	// Only of the newest manifest: what a stream alone needs is removed when that ends.
	if own, ok := f.current.Load().find(fileName(info)); ok && own.Sealed && info.Sealed {
		info.File = own.File
		return sameRun(own, *info)
	}
	if own, ok := f.extendedBy(info); ok && !m.hasWrittenBehind(own) {
		err := m.fetchRest(ctx, to.Files, to.Extend, from, info, own.File, own.Bytes)
		if c := new(run.CorruptError); !errors.As(err, &c) {
			return err
		}
	}
	name := begunName(info)
	file := f.fetched[name]
	if file == nil {
		if f.fetched == nil {
			f.fetched = map[string]*fetchedFile{}
		}
		file = &fetchedFile{number: to.number()}
		f.fetched[name] = file
	}
	if info.File = file.number; file.whole == string(fileName(info)) {
		if there, err := to.Holds(ctx, file.number, *info); there || err != nil {
			return err
		}
	}
	file.whole = ""
	if err := m.fetchRest(ctx, to.Files, to.Receive, from, info, file.number, 0); err != nil {
		return err
	}
	file.whole = string(fileName(info))
	return nil
}

// fetchedFile is a file that is received. If all of it has come and is durable, whole is what members call it,
// and the next transfer need not ask for it: otherwise a transfer of many files might break off each time. A
// checkpoint of this member may have removed it since.
type fetchedFile struct {
	number uint32
	whole  string
}

// fetchRest gets what is missing of a run, of which the first known bytes are certainly there.
func (m *Machine) fetchRest(ctx context.Context, files run.Files, receive run.ReceiveFunc, from raft.NodeID, info *run.Info, number uint32, known int64) error {
	there, err := files.Received(number, *info, known)
	if err != nil {
		return err
	}
	info.File = number
	return m.fetch(ctx, from, fileName(info), there.Have, func(ctx context.Context, data io.Reader) error {
		if _, err := receive(ctx, number, *info, there, data, nil); err != nil {
			return err
		}
		same, err := files.SameHead(number, *info)
		if err == nil && !same {
			err = errOtherRun(info)
		}
		return err
	})
}

// sameRun refuses what another member says of a run that this member has, if that says something else.
func sameRun(own, theirs run.Info) error {
	if own.File = theirs.File; own != theirs {
		return errOtherRun(&theirs)
	}
	return nil
}

func errOtherRun(info *run.Info) error {
	return fmt.Errorf("%w: it has a run of revisions %d to %d, whose file is that of another run", ErrManifest, info.First, info.Last)
}

// fetchTimeout bounds one fetch. What has come of a run by then is kept, so that the next fetch goes
// on from there.
const fetchTimeout = 2 * time.Minute

// fetch opens a file of another member from an offset on, and lets use read it.
func (m *Machine) fetch(ctx context.Context, from raft.NodeID, name []byte, offset int64, use func(context.Context, io.Reader) error) error {
	if m.fetcher == nil {
		return errors.New("no way to fetch files of other members")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	data, err := m.fetcher.Fetch(ctx, from, name, offset)
	if err != nil {
		return fmt.Errorf("fetch %x of %s: %w", name, from, err)
	}
	defer data.Close()
	return use(ctx, counted{data, &m.files.fetchedBytes})
}

// counted counts what is read.
type counted struct {
	io.Reader
	bytes *atomic.Int64
}

func (c counted) Read(b []byte) (n int, err error) {
	n, err = c.Reader.Read(b)
	c.bytes.Add(int64(n))
	return n, err
}

// extendedBy returns the run of the newest manifest that a run of another member goes on.
func (f *files) extendedBy(info *run.Info) (own run.Info, ok bool) {
	mf := f.current.Load()
	if mf == nil || len(mf.runs) == 0 {
		return own, false
	}
	own = mf.runs[len(mf.runs)-1]
	return own, info.Extends(own)
}

// hasWrittenBehind tells whether the history has written more of a run of the newest manifest than that says: a
// checkpoint has failed since. The next one counts on that, so nothing may be written over it.
func (m *Machine) hasWrittenBehind(own run.Info) bool {
	p := m.present.Load()
	return p != nil && slices.ContainsFunc(p.history.Runs(), func(i run.Info) bool { return i.File == own.File && i.Bytes > own.Bytes })
}

// begunName says which file a run goes on in when an earlier transfer has broken off: one of the same
// records, though there may be more of them now. A run that was written anew is what one member
// has made of it.
func begunName(i *run.Info) string {
	if i.Rewritten {
		return string(fileName(i))
	}
	b := binary.LittleEndian.AppendUint64(nil, i.First)
	return string(binary.LittleEndian.AppendUint64(b, i.ChainBefore)) + "records"
}

// forgetBegun removes the files of transfers that broke off, where a manifest does not go on with them.
func (m *Machine) forgetBegun(to storing, mf *manifest) error {
	for _, name := range slices.Sorted(maps.Keys(m.files.fetched)) {
		number := m.files.fetched[name].number
		if slices.ContainsFunc(mf.runs, func(i run.Info) bool { return begunName(&i) == name }) {
			continue
		}
		delete(m.files.fetched, name)
		if err := to.Remove(number); err != nil {
			return err
		}
	}
	return nil
}

// InstallState is part of rsm.DurableMachine.
func (m *Machine) InstallState(want raft.SnapshotMeta) (_ raft.SnapshotMeta, err error) {
	if err := m.files.begin(m.ctx); err != nil {
		return raft.SnapshotMeta{}, err
	}
	defer m.files.end()
	end := m.begin(WorkInstall)
	defer func() { end(err) }()
	mf := m.files.received
	if mf == nil || mf.position.Index < want.Index {
		return raft.SnapshotMeta{}, fmt.Errorf("install the state at %s: no such state was received", want)
	}
	old := m.present.Load()
	m.makeRoom(old, mf)
	m.cfg.Gently(func() { err = m.load(mf) })
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	// The numbers of files go on from those of the state that was received.
	m.files.received, m.files.fetched = nil, nil
	if err := old.history.Close(); err != nil {
		return raft.SnapshotMeta{}, err
	}
	m.files.tidy(nil)
	return mf.position, nil
}
