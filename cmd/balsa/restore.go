package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/internal/backup"
	"balsa.example/internal/datadir"
	"balsa.example/kv/run"
	"balsa.example/state"
	"balsa.example/vfs"
)

// restoreMargin is how far beyond all revisions of a backup those of a restored cluster begin: the old
// cluster may have given out that many since.
const restoreMargin = 1_000_000_000

// restoreFlags are those of "balsa restore".
type restoreFlags struct {
	dataDir  string
	revision uint64
	at       string
	keep     bool
}

func (p *program) restore() *cobra.Command {
	var f restoreFlags
	var out output
	c := &cobra.Command{
		Use:   "restore DIR|FILE",
		Short: "Make the data directory of a new cluster from a backup",
		Long: `Make a data directory from the backup in DIR, as the keys were at a revision or at a
time; or from FILE, a snapshot of balsa or of etcd that "etcdctl snapshot save" wrote. It
belongs to no cluster yet: the first start of its servers is the birth of a new one, of
any size. Run the command once for each server, with the same backup and the same revision
or time, and then start them as a new cluster. Servers that were restored differently
refuse each other.

The new cluster has the keys, users, roles and the quota, and another identity: clients
of the old one have to connect anew, and its servers are refused. Users, roles and the
quota have no revisions; they are those of the first "balsa backup" at or after the revision. There
are no sessions. A lease on which keys hang lives on under its id, and has its whole
time to live from when the cluster lives; one that had ended before that backup has a minute.

Revisions go on far beyond the old ones, and those count as compacted: so a watch of the
old cluster that comes to the new one fails, rather than to miss what happened.
--keep-revisions keeps the revisions and the history instead.

--time restores the last revision that was certainly reached by then, by the clock of the
leader of then, and says by when that was. What was changed up to an election timeout
before the time (0.5 s) may be left out; nothing that was changed after it is restored.
"balsa backup list" says what can be restored.

A snapshot of etcd, or the member/snap/db of a member of etcd that is stopped, is
restored as it is: keys with their revisions, leases, users and roles. It has no history
that could be read then, and its quota and alarms are left out. The file is checked before
anything is written. "balsa import --etcd" brings it into a cluster that runs.

` + exitHelp(exitOK, exitError, exitUsage, exitUnreported, exitDamaged) + `
That the revision or the time is not covered, or that --data-dir is not empty, is 2.`,
		Example: `  balsa restore /backup/balsa --data-dir /var/lib/balsa
  balsa restore /backup/balsa --data-dir /var/lib/balsa --revision 120000
  balsa restore /backup/balsa --data-dir /var/lib/balsa --time "2026-10-01 14:32"
  balsa restore snapshot.db --data-dir /var/lib/balsa`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	out.addFlag(c)
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "directory to make; it must not exist, or be empty")
	c.Flags().Uint64Var(&f.revision, "revision", 0, "revision to restore (default: the newest)")
	c.Flags().StringVar(&f.at, "time", "", "time to restore, such as 2026-10-01T14:32:00Z, or without the zone for that of this machine")
	c.Flags().BoolVar(&f.keep, "keep-revisions", false, "go on at the revision, and keep the history before it")
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("revision") && f.revision == 0 {
			return usageError("--revision is 0; the first revision is 1")
		}
		r, err := p.restoreFrom(c.Context(), args[0], f)
		if err != nil {
			return explainRestore(err)
		}
		if r.Revision <= 1 {
			p.note("balsa: warning: there are no keys: nothing is known to have been written by then")
		}
		if out.isJSON() {
			return writeJSON(p.stdout, r)
		}
		_, err = fmt.Fprintf(p.stdout, "restored revision=%d reached=%s new_revision=%d hash=%s origin=%s data_dir=%s\n",
			r.Revision, orUnknown(r.Reached), r.NewRevision, r.Hash, r.Origin, f.dataDir)
		return err
	}
	return c
}

// restoredJSON is what was restored, in the format of -o json.
type restoredJSON struct {
	Revision    uint64     `json:"revision"`          // of the old cluster
	Reached     *time.Time `json:"reached,omitempty"` // when the store had certainly reached it
	NewRevision uint64     `json:"new_revision"`
	Compacted   uint64     `json:"compacted_revision"`
	Hash        string     `json:"hash"`
	Origin      string     `json:"origin"`
}

func orUnknown(t *time.Time) string {
	if t == nil {
		return "unknown"
	}
	return t.Format(time.RFC3339)
}

func (p *program) restoreFrom(ctx context.Context, dir string, f restoreFlags) (*restoredJSON, error) {
	if f.dataDir == "" {
		return nil, usageError("--data-dir is missing: the directory to make")
	}
	if f.revision != 0 && f.at != "" {
		return nil, usageError("--revision and --time are not both to be given")
	}
	release, err := reserve(f.dataDir)
	if err != nil {
		return nil, err
	}
	defer release()
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		return p.restoreEtcd(ctx, dir, f)
	}
	d, err := backup.Open(vfs.OS, dir)
	if err != nil {
		return nil, err
	}
	for _, damage := range d.Damage() {
		p.note("balsa: %s; that point is left out", oneLine(damage))
	}
	finding := p.waiting("looking for what to restore")
	point, at, err := f.find(ctx, d)
	finding.end()
	if err != nil {
		return nil, err
	}
	im, err := d.Image(point)
	if err != nil {
		return nil, err
	}
	moveTo := uint64(0)
	if !f.keep {
		points := d.Points()
		moveTo = points[len(points)-1].Revision + restoreMargin
	}
	return p.writeRestored(f, point.Bytes, at, moveTo, func(r state.Restoration) (*state.Image, error) {
		return im.Restore(ctx, d.Files(), r)
	})
}

// writeRestored calls what writes a state of so many bytes. After an error nothing of it is left.
func (p *program) writeRestored(
	f restoreFlags, size int64, at backup.At, moveTo uint64, restore func(state.Restoration) (*state.Image, error),
) (*restoredJSON, error) {
	r := state.Restoration{FS: vfs.OS, Dir: filepath.Join(f.dataDir, "state"), Revision: at.Revision, MoveTo: moveTo}
	written, bytes := &transfer{verb: "restored", first: "reading the index of the keys"}, int64(0)
	r.Pace = func(n int) {
		bytes += int64(n)
		written.tell(bytes, max(size, bytes))
	}
	told := p.begin(false, written.text)
	restored, err := restoreImage(restore, r, at)
	told.end()
	if err != nil {
		_ = os.RemoveAll(r.Dir) // what is written in part is of no use, and would be in the way of the next attempt
	}
	return restored, err
}

// errNoPoints: the directory is that of a backup, of which nothing can be restored.
var errNoPoints = fmt.Errorf("%w: it has no points; has the first backup been finished?", backup.ErrNotCovered)

// find finds what is to be restored.
func (f *restoreFlags) find(ctx context.Context, d *backup.Dir) (*backup.Point, backup.At, error) {
	points := d.Points()
	switch {
	case len(points) == 0 && len(d.Damage()) > 0:
		return nil, backup.At{}, errors.Join(d.Damage()...)
	case len(points) == 0:
		return nil, backup.At{}, errNoPoints
	case f.at != "":
		at, err := parseTime(f.at)
		if err != nil {
			return nil, backup.At{}, err
		}
		return d.AtTime(ctx, at)
	case f.revision != 0:
		point, err := d.Covering(f.revision)
		return point, backup.At{Revision: f.revision}, err
	}
	newest := points[len(points)-1]
	return newest, backup.At{Revision: newest.Revision}, nil
}

func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError("--time is %q; it must be such as 2026-10-01T14:32:00Z, or 2026-10-01 14:32", text)
}

// reserve refuses a directory that has anything, and lets nobody else use it until release is called.
func reserve(dir string) (release func(), err error) {
	if err := emptyDir(dir); err != nil {
		return nil, err
	}
	release, err = datadir.Reserve(vfs.OS, dir)
	if errors.Is(err, datadir.ErrInUse) {
		return nil, usageError("--data-dir: %w", err)
	} else if err != nil {
		return nil, err
	}
	if err := emptyDir(dir); err != nil { // another command may have been faster
		release()
		return nil, err
	}
	return release, nil
}

// emptyDir refuses a directory that has anything.
func emptyDir(dir string) error {
	names, err := vfs.OS.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "lost+found" || name == datadir.LockName })
	if len(names) == 0 {
		return nil
	}
	origin, err := state.OriginOf(vfs.OS, filepath.Join(dir, "state"))
	part := !slices.ContainsFunc(names, func(name string) bool { return name != "state" && name != recovering })
	if err == nil && part && origin == (state.Origin{}) {
		return usageError("--data-dir %s holds a part of what a command was to write that was killed: remove the directory, and try again", dir)
	}
	return usageError("--data-dir %s is not empty: it holds %q; nothing was written", dir, names[0])
}

func restoreImage(restore func(state.Restoration) (*state.Image, error), r state.Restoration, at backup.At) (*restoredJSON, error) {
	restored, err := restore(r)
	if err != nil {
		return nil, err
	}
	origin, err := state.OriginOf(r.FS, r.Dir)
	if err != nil {
		return nil, err
	}
	j := &restoredJSON{
		Revision: r.Revision, NewRevision: restored.Revision(), Compacted: restored.Compacted(),
		Hash: fmt.Sprintf("%016x", restored.Hash()), Origin: fmt.Sprintf("%x", origin),
	}
	if at.Reached.Unix() > 0 {
		j.Reached = &at.Reached
	}
	return j, nil
}

func explainRestore(err error) error {
	corrupt := new(run.CorruptError)
	switch {
	case errors.Is(err, backup.ErrNotCovered):
		return usageError("%w; nothing was written", err)
	case errors.Is(err, run.ErrUnreadable):
		return fmt.Errorf("nothing was restored; try again: %w", err)
	case errors.As(err, &corrupt):
		return withCode(exitDamaged, "the backup is damaged, as \"balsa backup verify\" tells; nothing was restored: %w", err)
	}
	return explainBackup(nil, err)
}
