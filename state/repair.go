package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// The run that is appended to is in memory, and is written anew from there. Any other damaged run is repaired by
// other members, in the first of these ways that works:
//
//  1. A member has the same run, byte for byte. It is fetched by its checksum, as when a state is
//     received.
//  2. Members write runs anew, each by itself, so perhaps nobody has the same. But they have the same
//     records: those that the index refers to are taken out of the runs of a member whose chain hash
//     agrees, and a new run is made of them. It counts only if none of them was missing. Histories are
//     compared where runs of both end. If there is no such revision, both members are to make a
//     checkpoint: where nothing is written, their last runs then end at the same one.
//  3. At a start there is no index yet. Then the whole state of another member is taken, if that is
//     at the same position or further, with those of the own runs that are whole.
//
// A member that is asked may hang. So Scrub breaks a repair off where something else waits to write files: see files.begin.

// maxStateChanges is how often the state of a member may have changed while it was fetched.
const maxStateChanges = 5

var (
	// ErrNoCopy says that a run is damaged, and that no other member has the same file.
	ErrNoCopy = errors.New("state: no other member has the same file")
	// errIncomplete: a member that has purged more than this one lacks records that this one refers to
	// until it has purged as much: when it is written to again (see index.Purge), or is started anew.
	errIncomplete = errors.New("state: not all of its records are there any more")
	// errDisagrees: a member has not got as far as the damaged run, or has another history.
	errDisagrees = errors.New("state: its history does not lead up to the end of the run with the same chain hash")
	// errBehind: a member has not got as far as this one.
	errBehind = errors.New("state: its state is behind the own one")
)

// repair replaces a damaged run of the newest manifest.
func (m *Machine) repair(ctx context.Context, info run.Info) error {
	p := m.present.Load()
	if !info.Sealed {
		return p.history.Restore(m.ctx, info.File, m.pause)
	}
	err := m.repairByCopy(ctx, p.history, info)
	if err == nil || errors.Is(err, run.ErrFailed) || ctx.Err() != nil {
		return err
	}
	m.purging <- struct{}{}
	defer func() { <-m.purging }()
	again := m.cleanBefore(p, info)
	if again == nil {
		again = m.eachOther(ctx, func(from raft.NodeID) error { return m.rebuild(ctx, p, info, from) })
	}
	if again == nil || errors.Is(again, run.ErrFailed) {
		return again
	}
	return errors.Join(err, again)
}

// eachOther does something with one other member after the other, until it succeeds, the own disk has failed, or ctx
// has ended.
func (m *Machine) eachOther(ctx context.Context, do func(from raft.NodeID) error) (all error) {
	if m.fetcher == nil {
		return ErrNoCopy
	}
	for _, from := range m.files.current.Load().position.Configuration.Members() {
		if from == m.cfg.ID {
			continue
		}
		err := do(from)
		if err == nil || errors.Is(failed(err), run.ErrFailed) {
			return err
		}
		all = errors.Join(all, fmt.Errorf("from member %s: %w", from, err))
		if ctx.Err() != nil {
			return errors.Join(all, context.Cause(ctx))
		}
	}
	if all == nil {
		return ErrNoCopy
	}
	return all
}

// repairByCopy replaces a damaged run by the same file of another member.
func (m *Machine) repairByCopy(ctx context.Context, history *run.History, info run.Info) error {
	number := history.NewFile()
	err := m.fetchCopy(ctx, history.Files(), number, info)
	if err == nil {
		err = history.Repair(info.File, number)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("repair %s: %w", history.Files().Path(info.File), err), history.Files().Remove(number))
	}
	return nil
}

// fetchCopy gets a run from the first member that has it, to a file of a number.
func (m *Machine) fetchCopy(ctx context.Context, files run.Files, number uint32, info run.Info) error {
	missing := true
	err := m.eachOther(ctx, func(from raft.NodeID) error {
		err := m.fetchRun(ctx, files, number, info, from)
		missing = missing && errors.Is(err, fs.ErrNotExist)
		return err
	})
	if err != nil && missing {
		return ErrNoCopy
	}
	return err
}

// fetchRun gets a run from one member.
func (m *Machine) fetchRun(ctx context.Context, files run.Files, number uint32, info run.Info, from raft.NodeID) error {
	return m.fetch(ctx, from, fileName(&info), 0, func(ctx context.Context, data io.Reader) error {
		_, err := files.Receive(ctx, number, info, run.Part{}, data, nil)
		return err
	})
}

// fetchManifest gets the manifest of a member.
func (m *Machine) fetchManifest(ctx context.Context, from raft.NodeID) (mf *manifest, small []byte, err error) {
	err = m.fetch(ctx, from, []byte(stateName), 0, func(_ context.Context, data io.Reader) (err error) {
		_, mf, small, err = m.readStream(data)
		return err
	})
	return mf, small, err
}

// cleanBefore writes the runs before a damaged one anew, as far as deletions in it may hide some of
// their records: the index does not know these deletions, and another member may not have them.
func (m *Machine) cleanBefore(p *present, damaged run.Info) error {
	for p.hiddenBefore(m.files.current.Load(), damaged.File) <= damaged.Last {
		runs := p.use(m.files.current.Load(), nil)
		at := slices.IndexFunc(runs, func(u used) bool { return u.File == damaged.File || u.hidden() <= damaged.Last })
		if err := m.rewrite(p, []uint32{runs[at].File}, 1); err != nil {
			return fmt.Errorf("write %s anew: %w", p.history.Files().Path(runs[at].File), err)
		}
	}
	return nil
}

// rebuild makes a new run of the records of a damaged one that another member has.
func (m *Machine) rebuild(ctx context.Context, p *present, damaged run.Info, from raft.NodeID) (err error) {
	theirs, _, err := m.fetchManifest(ctx, from)
	if err != nil {
		return err
	}
	if !run.Agrees(m.files.current.Load().runs, theirs.runs, damaged.Last) {
		m.compared.Store(m.Revision())
		return errDisagrees
	}
	files := p.history.Files()
	var sources []run.Info
	defer func() {
		for _, i := range sources {
			err = errors.Join(err, files.Remove(i.File))
		}
	}()
	for _, info := range theirs.runs {
		if info.Last < damaged.First || info.First > damaged.Last {
			continue
		}
		number := p.history.NewFile()
		err := m.fetchRun(ctx, files, number, info, from)
		info.File = number
		if sources = append(sources, info); err != nil {
			return err
		}
	}
	found := int64(0)
	w, err := p.history.Rebuild(m.ctx, damaged.File, sources, func(rec *run.Record) (run.Ref, bool) {
		at, ok := p.keys.Located(kv.Alias(rec.Key), rec.Mod)
		if ok = ok && at.Run == damaged.File; ok {
			found += int64(at.Size)
		}
		return at, ok
	}, m.pause)
	if err != nil {
		return err
	}
	if live := p.keys.LiveBytes(damaged.File); found != live {
		w.Discard()
		return fmt.Errorf("%w: %d bytes of %d", errIncomplete, found, live)
	}
	return m.replaceRuns(p, w, p.keys.Purged())
}

// replaceRuns makes a manifest with rewritten runs durable, and lets them take the place of the old
// ones. So much was purged before they were written.
func (m *Machine) replaceRuns(p *present, w *run.Rewritten, purged uint64) error {
	mf := *m.files.current.Load()
	before := mf.runs
	mf.runs, mf.nextFile = w.Replace(mf.runs), p.history.NextFile()
	if err := m.files.publish(&mf); err != nil {
		if !errors.Is(err, rsm.ErrMachineFailed) { // else the next process may find the manifest that names the new files
			w.Discard()
		}
		return err
	}
	w.Install(func(key []byte, mod uint64, from, to run.Ref) {
		p.keys.Move(kv.Alias(key), mod, from, to)
	})
	w.Forget()
	there := map[uint32]bool{}
	for _, info := range mf.runs {
		if there[info.File] = true; !slices.ContainsFunc(before, func(i run.Info) bool { return i.File == info.File }) {
			p.deletes.rewritten(info, p.keys.LiveBytes(info.File), purged)
		}
	}
	p.deletes.forget(there)
	return m.files.removeOld(p.inUse())
}

// repairForRestart repairs the run whose damage has stopped a command halfway. This process cannot go
// on with that, but the next one executes the same command again.
func (m *Machine) repairForRestart(err error) {
	c := new(run.CorruptError)
	if !errors.As(m.noticed(err), &c) {
		return
	}
	if m.files.begin(m.ctx) != nil {
		return
	}
	defer m.files.end()
	mf := m.files.current.Load()
	if mf == nil {
		return
	}
	if i := slices.IndexFunc(mf.runs, func(i run.Info) bool { return i.File == c.Number }); i >= 0 && mf.runs[i].Sealed {
		_ = m.repair(m.ctx, mf.runs[i]) // the error of the command says what is damaged
	}
}

// repairOnOpen repairs the newest manifest, which cannot be opened: it replaces a damaged run, or
// takes the whole state of another member. It returns the manifest to open then, and damage if it
// is of another kind, or cannot be repaired.
func (m *Machine) repairOnOpen(mf *manifest, damage error) (*manifest, error) {
	c := new(run.CorruptError)
	if run := errors.As(damage, &c); m.fetcher == nil || !run && !errors.Is(damage, ErrSmall) {
		return nil, damage
	}
	files := m.filesOf(mf)
	err := ErrNoCopy
	if i := slices.IndexFunc(mf.runs, func(i run.Info) bool { return i.File == c.Number }); i >= 0 {
		err = m.fetchCopy(m.ctx, files, mf.nextFile, mf.runs[i])
		if err == nil {
			err = files.Replace(c.Number, mf.nextFile)
		} else if !errors.Is(err, run.ErrFailed) {
			err = errors.Join(err, files.Remove(mf.nextFile))
		}
	}
	if err != nil && !errors.Is(err, run.ErrFailed) {
		mf, err = m.takeState(mf, err)
	}
	if err != nil {
		return nil, errors.Join(damage, fmt.Errorf("repair: %w", failed(err)))
	}
	m.scrubs.mu.Lock()
	m.scrubs.repaired++
	m.scrubs.mu.Unlock()
	return mf, nil
}

// takeState makes the state of another member the newest one of this member, which is at least at
// the same position. That is as if it had been received, and the process had ended then: the log
// goes on behind it.
func (m *Machine) takeState(own *manifest, before error) (taken *manifest, err error) {
	next := own.nextFile
	number := func() uint32 { next++; return next - 1 }
	err = m.eachOther(m.ctx, func(from raft.NodeID) error {
		for changes := 0; ; changes++ {
			mf, small, err := m.fetchManifest(m.ctx, from)
			switch {
			case err != nil:
				return err
			case mf.position.Index < own.position.Index || mf.position.Index == 0:
				return m.await(from, own.position.Index)
			}
			err = m.store(m.ctx, storing{m.filesOf(mf), number}, from, mf, small)
			if err == nil {
				taken = mf
			}
			if err == nil || !errors.Is(err, fs.ErrNotExist) || changes == maxStateChanges {
				return err
			}
		}
	})
	if err != nil {
		return nil, errors.Join(before, err)
	}
	return taken, nil
}

// await asks a member whose state is behind an index for a checkpoint, so that the next start finds another state:
// where nobody writes it might make none for ever. It returns errBehind.
func (m *Machine) await(from raft.NodeID, index raft.Index) error {
	name := binary.LittleEndian.AppendUint64([]byte(stateName), uint64(index))
	// A member of an older version does not know the name.
	_ = m.fetch(m.ctx, from, name, 0, func(context.Context, io.Reader) error { return nil })
	return errBehind
}
