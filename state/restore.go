package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state/lease"
	"balsa.example/vfs"

	"github.com/cespare/xxhash/v2"
)

// A state that was restored waits in its directory for the birth of a cluster, as
//
//	RESTORED   an image of no cluster, at restoredPosition, without a configuration
//	run-N      the runs that it names, with the history that they had
//
// All first members of the cluster are given the same. Origin is how they tell: it is in what each says of
// itself at the birth. Then Open makes the first manifest of it, with the cluster and its configuration.
const restoredName = "RESTORED"

// restoredPosition is the first entry of a log. The log of the cluster begins behind it, empty, so
// that a member that has no such state needs one of another member.
var restoredPosition = raft.SnapshotMeta{Index: 1, Term: 1}

// Origin tells restored states apart: a hash of everything that is in one. Zero: none.
type Origin [16]byte

// OriginOf returns the origin of the restored state that waits in a directory; zero if none does.
func OriginOf(fsys vfs.FS, dir string) (o Origin, err error) {
	b, err := vfs.ReadFile(fsys, filepath.Join(dir, restoredName))
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	return originOf(b), err
}

func originOf(b []byte) Origin {
	sum := sha256.Sum256(b)
	return Origin(sum[:])
}

// Restoration says what is made of an image.
type Restoration struct {
	FS  vfs.FS
	Dir string // is made if it is missing
	// Revision is one of those that the image can be read at. Nothing later is restored.
	Revision uint64
	// MoveTo is the revision at which the store goes on, and below which all is compacted: so whoever
	// knows revisions of the old cluster notices. 0: the store goes on at Revision, with the history that
	// the image has.
	MoveTo uint64
	// Pace is called while files are written, with the number of bytes. May be nil.
	Pace func(bytes int)
}

// Restore writes a state that waits for the birth of a cluster. The image is of runs that are in
// from. What it makes is the same each time, byte by byte. It has
//
//   - the keys as they were at the revision;
//   - users, roles and quota as the image has them, since these have no revisions, and another secret
//     of tokens;
//   - no alarms: those were about the members of the old cluster;
//   - no sessions, but a lease in place of each that has keys;
//   - the leases on which keys hang, and where Revision is that of the image the other ones too. Each has its
//     whole time to live from when the cluster lives. Of a lease that had ended by the time of the image
//     that time is not known: it has endedTTL.
func (im *Image) Restore(ctx context.Context, from run.Files, r Restoration) (*Image, error) {
	if r.Revision < im.Compacted() || r.Revision > im.Revision() {
		return nil, fmt.Errorf("%w: revision %d, and the image covers %d to %d", ErrNotCovered, r.Revision, im.Compacted(), im.Revision())
	}
	if err := im.state.usableBy(Version); err != nil {
		return nil, err
	}
	if err := vfs.MakeDir(r.FS, r.Dir); err != nil {
		return nil, fmt.Errorf("make the directory of the state: %w", err)
	}
	to := run.Files{FS: r.FS, Dir: r.Dir, Cluster: im.History()}
	runs, err := im.cut(ctx, from, to, r)
	if err != nil {
		return nil, err
	}
	history, err := r.open(to.Cluster, runs)
	if err != nil {
		return nil, err
	}
	p, err := im.presentAt(ctx, history, r)
	if err != nil {
		return nil, errors.Join(err, history.Close())
	}
	restored, err := r.publish(p, runs)
	return restored, errors.Join(err, history.Close())
}

// open opens the history that was written.
func (r *Restoration) open(id uint64, runs []run.Info) (*run.History, error) {
	return run.Open(run.Options{FS: r.FS, Dir: r.Dir, Cluster: id}, runs, uint32(len(runs)+1))
}

// publish writes the image of a state whose runs are written.
func (r *Restoration) publish(p *present, runs []run.Info) (*Image, error) {
	next := uint32(len(runs) + 1)
	mf := &manifest{
		position: restoredPosition, history: p.historyID, hash: p.hash(), compacted: p.keys.Compacted(), runs: runs, nextFile: next + 1,
	}
	var file bytes.Buffer
	if _, err := p.small().WriteTo(&file); err != nil {
		return nil, err
	}
	mf.small = smallFile{number: next, bytes: int64(file.Len()), checksum: xxhash.Sum64(file.Bytes())}
	restored := &Image{manifest: mf, small: file.Bytes(), state: p.smallState(), leases: p.leases.table}
	return restored, vfs.WriteFile(r.FS, filepath.Join(r.Dir, restoredName), restored.Encode())
}

// ErrNotCovered refuses to restore a revision that an image cannot be read at.
var ErrNotCovered = errors.New("state: revision is not covered")

// cut copies the runs up to the revision, and numbers them from 1 on. It reads what it has written.
func (im *Image) cut(ctx context.Context, from, to run.Files, r Restoration) (runs []run.Info, err error) {
	for _, info := range im.manifest.runs {
		if info.First > r.Revision {
			break
		}
		number, source := uint32(len(runs)+1), info
		if info.Last > r.Revision {
			info, err = from.Cut(ctx, info, to, number, r.Revision, r.Pace)
		} else {
			info, err = copyRun(ctx, from, info, to, number, r.Pace)
		}
		if err == nil {
			err = to.Verify(ctx, info, nil)
		}
		if err != nil {
			return nil, blamed(ctx, from, source, err)
		}
		runs = append(runs, info)
	}
	return runs, nil
}

// blamed is the error of a copy of a run. If the source is damaged it is that of the source: what is wrong with it is seen first in the
// copy, which nobody keeps.
func blamed(ctx context.Context, source run.Files, info run.Info, err error) error {
	if c := new(run.CorruptError); errors.As(err, &c) {
		if damage := source.Verify(ctx, info, nil); errors.As(damage, &c) {
			return damage
		}
	}
	return err
}

func copyRun(ctx context.Context, from run.Files, info run.Info, to run.Files, number uint32, pace func(int)) (run.Info, error) {
	data, err := from.Open(info)
	if err != nil {
		return info, err
	}
	defer data.Close()
	return to.Receive(ctx, number, info, run.Part{}, data, pace)
}

// presentAt makes the state of an image, whose history was cut.
func (im *Image) presentAt(ctx context.Context, history *run.History, r Restoration) (p *present, err error) {
	p = &present{history: history, historyID: im.History()}
	if p.leases.table, err = im.leasesAt(ctx, history, r.Revision); err != nil {
		return nil, err
	}
	totals := im.state.totals.Cut(r.Revision)
	p.times.timesImage = timesImage{wall: im.state.times.wall, gap: firstGap}
	if r.MoveTo != 0 {
		totals = totals.MoveOn(r.MoveTo)
	} else {
		p.times.timesImage = im.state.times
		p.times.cut(r.Revision)
	}
	p.quota.Store(im.state.quota)
	p.version.Store(im.state.version)
	p.users.set(im.state.users.WithSecret(im.newSecret(r.Revision)))
	p.keys, err = kv.OpenStore(history, totals, &p.leases, ctx.Err)
	return p, err
}

// newSecret is one that was never that of tokens, and that all who restore the image make alike. It
// cannot be found without the old one.
func (im *Image) newSecret(revision uint64) []byte {
	b := append([]byte("balsa restored secret"), im.state.users.Secret()...)
	b = binary.LittleEndian.AppendUint64(b, im.Hash())
	b = binary.LittleEndian.AppendUint64(b, revision)
	sum := sha256.Sum256(b)
	return sum[:]
}

// endedTTL is for a lease that had ended by the time of the image.
const endedTTL = int64(time.Minute)

// leasesAt returns the leases of a state whose keys are those of a history. All of them float: they
// count from the second tick of the new cluster.
func (im *Image) leasesAt(ctx context.Context, history *run.History, revision uint64) (*lease.Table, error) {
	t, err := lease.NewTable(im.leases.Limits())
	if err != nil {
		return nil, err
	}
	t.Advance(im.leases.Stamp())
	grant := func(id int64) error {
		old, ok := im.leases.Lookup(id)
		if _, there := t.Lookup(id); there {
			return nil
		}
		if !ok {
			old.TTL = endedTTL
		}
		err := t.Grant(id, old.TTL, false)
		t.Float([]int64{id})
		return err
	}
	if revision == im.Revision() {
		for _, id := range im.leases.Leases() {
			if old, _ := im.leases.Lookup(id); !old.Session {
				err = errors.Join(err, grant(id))
			}
		}
	}
	var newest run.Entry // of a key, which comes with all its versions one after the other
	attach := func() {
		if newest.Lease != 0 && !newest.Deleted && err == nil {
			if err = grant(newest.Lease); err == nil {
				err = t.Attach(newest.Lease, string(newest.Key))
			}
		}
	}
	loadErr := history.Load(func(e *run.Entry) bool {
		if !bytes.Equal(e.Key, newest.Key) {
			attach()
		}
		key := append(newest.Key[:0], e.Key...)
		newest = *e
		newest.Key = key
		return err == nil && ctx.Err() == nil
	})
	attach()
	return t, errors.Join(ctx.Err(), loadErr, err)
}

// cut forgets marks above a revision.
func (t *timesImage) cut(revision uint64) {
	n := len(t.marks)
	for n > 0 && t.marks[n-1].Revision > revision {
		n--
	}
	t.marks = t.marks[:n:n]
}

// smallState is what small has, but for the leases.
func (p *present) smallState() small {
	s := *p.small()
	s.leases = nil
	return s
}

// adopt makes the first manifest of a state that was restored. It returns nil if none was.
func (m *Machine) adopt() (*manifest, error) {
	f := &m.files
	b, err := vfs.ReadFile(f.fs, f.path(restoredName))
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing && m.cfg.Origin == Origin{}:
		return nil, nil
	case missing:
		return nil, fmt.Errorf("the cluster began with the restored state %x, which is not in %s any more", m.cfg.Origin, f.dir)
	case err != nil:
		return nil, err
	case originOf(b) != m.cfg.Origin:
		return nil, fmt.Errorf("the cluster began with the restored state %x, and in %s is %x", m.cfg.Origin, f.dir, originOf(b))
	}
	im, err := decodeImage(b, 0)
	if err != nil {
		return nil, err
	}
	mf := *im.manifest
	mf.position.Configuration = m.cfg.Configuration
	if _, _, err := f.write(smallName(mf.small.number), bytes.NewReader(im.small)); err != nil {
		return nil, err
	}
	return &mf, f.publish(&mf)
}

// adopted removes what adopt has made a manifest of.
func (f *files) adopted() error {
	if err := f.fs.Remove(f.path(restoredName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", restoredName, err)
	}
	return nil
}
