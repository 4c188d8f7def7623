package offline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"balsa.example/internal/datadir"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// Survivor is what a member's directory would bring into a new cluster.
type Survivor struct {
	Name    string // of the member
	Cluster uint64 // the old one
	// Index and Term are those of the last entry of its log, Replayed how many of them are behind its
	// durable state, and Revision that of the store after all of them.
	Index    raft.Index
	Term     raft.Term
	Replayed int
	Revision uint64
	// Stamped is the last time that a leader has stamped, as far as this member knows; zero: none.
	Stamped time.Time
	// Doubts say why another member's directory, or a backup, may be the better one.
	Doubts []string
	// Unlocked is as that of a Report.
	Unlocked error

	state   *state.Machine
	overlay *overlay
	dir     string // of the state
	release func() // lets servers start on the directory again
}

// Survey reads a member's directory, on which no server runs, and executes the whole tail of its log in memory, as
// far as it goes: also what nobody knows to be committed. The directory stays as it is, and no server starts on it, if it has a LOCK. What
// has to be written meanwhile goes to scratch, a new directory. Close ends the use of both.
func Survey(ctx context.Context, fsys vfs.FS, dir, scratch string) (s *Survivor, err error) {
	release, unheld, err := hold(fsys, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	log, err := wal.Inspect(fsys, filepath.Join(dir, "wal"))
	if errors.Is(err, wal.ErrNotCreated) {
		return nil, withoutLog(fsys, dir, err)
	} else if err != nil {
		return nil, err
	}
	s = &Survivor{Cluster: log.Identity.ClusterID, dir: filepath.Join(dir, "state"), release: release, Unlocked: unheld}
	if err := s.know(fsys, dir, log); err != nil {
		return nil, err
	}
	if err := vfs.MakeDir(fsys, scratch); err != nil {
		return nil, err
	}
	s.overlay = newOverlay(fsys, s.dir, scratch)
	s.state = state.New(state.Config{FS: s.overlay, Dir: s.dir, Cluster: s.Cluster, ID: log.Identity.NodeID})
	defer context.AfterFunc(ctx, s.state.Interrupt)()
	if err := s.replay(ctx, log); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), s.Close())
	}
	return s, nil
}

// withoutLog returns what is to be said of a directory without a log: err, if there is something else of a server.
func withoutLog(fsys vfs.FS, dir string, err error) error {
	missing := func(path string) bool {
		_, err := fsys.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	}
	switch {
	case missing(dir):
		return fmt.Errorf("%s: %w", dir, ErrMissing)
	case missing(filepath.Join(dir, "MEMBERS")) && missing(filepath.Join(dir, "state")):
		return fmt.Errorf("%s: %w", dir, ErrNothing)
	}
	return err
}

// know reads who the member was, and notes why it may not be the best to go on with. Nothing that is brought into the
// new cluster is in MEMBERS, so it may be damaged.
func (s *Survivor) know(fsys vfs.FS, dir string, log *wal.Found) error {
	m, err := datadir.Inspect(fsys, dir)
	switch {
	case errors.Is(err, datadir.ErrDamaged):
		s.Doubts = append(s.Doubts, err.Error())
	case err != nil:
		return err
	case m == nil:
		s.Doubts = append(s.Doubts, "it has no file MEMBERS")
	default:
		s.Name = m.Name
	}
	switch why, err := datadir.Diverged(fsys, dir); {
	case err != nil:
		return err
	case why != "":
		s.Doubts = append(s.Doubts, "its state differed from that of a majority: "+strings.TrimSpace(why))
	}
	if lost := log.HardState.LostLog; lost > 0 {
		s.Doubts = append(s.Doubts, fmt.Sprintf("its log has lost entries that it had acknowledged, up to %d: it is an old copy", lost))
	}
	return nil
}

// replay executes what the log has behind the state.
func (s *Survivor) replay(ctx context.Context, log *wal.Found) error {
	position, _, err := s.state.Open()
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return err
	}
	if isWitness(position, log) {
		return ErrWitness
	}
	entries, leadsUp, err := log.After(position)
	if err != nil {
		return err
	}
	s.Index, s.Term = position.Index, position.Term
	if leadsUp {
		s.Index, s.Term = log.Last, log.LastTerm
	}
	for _, e := range entries {
		data, ok := rsm.Operation(e)
		if !ok {
			continue
		}
		c, err := state.Codec{}.Decode(data)
		if err != nil {
			return fmt.Errorf("entry %d of the log: %w", e.Index, err)
		}
		s.state.DoOp(c)
		if err := errors.Join(s.state.Failed(), ctx.Err()); err != nil {
			return fmt.Errorf("entry %d of the log: %w", e.Index, err)
		}
	}
	s.Replayed, s.Revision = len(entries), s.state.Revision()
	if wall := s.state.Wall(); wall > 0 {
		s.Stamped = time.UnixMilli(wall)
	}
	return nil
}

// Write makes the state of the survivor the beginning of a new cluster, in the directory of a member that
// was never started. moveTo is as in state.Restoration.
func (s *Survivor) Write(ctx context.Context, to string, moveTo uint64, pace func(int)) (*state.Image, error) {
	position := raft.SnapshotMeta{Index: max(s.Index, 1), Term: max(s.Term, 1)}
	if _, err := s.state.Checkpoint(position)(ctx); err != nil {
		return nil, err
	}
	stream, err := s.state.OpenState()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(stream.Data)
	if err = errors.Join(err, stream.Data.Close()); err != nil {
		return nil, err
	}
	im, err := state.DecodeImage(b, s.Cluster)
	if err != nil {
		return nil, err
	}
	return im.Restore(ctx, run.Files{FS: s.overlay, Dir: s.dir, Cluster: im.History()}, state.Restoration{
		FS: s.overlay.FS, Dir: filepath.Join(to, "state"), Revision: im.Revision(), MoveTo: moveTo, Pace: pace,
	})
}

// Close ends the use of the directory, and removes what was written beside it.
func (s *Survivor) Close() error {
	defer s.release()
	err := s.state.Close()
	fsys, scratch := s.overlay.FS, s.overlay.upper
	names, listErr := fsys.List(scratch)
	for _, name := range names {
		err = errors.Join(err, fsys.Remove(filepath.Join(scratch, name)))
	}
	return errors.Join(err, listErr, fsys.Remove(scratch))
}
