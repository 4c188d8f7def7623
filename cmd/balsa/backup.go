package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
	"balsa.example/internal/backup"
	"balsa.example/kv/run"
	"balsa.example/vfs"
)

func (p *program) backup() *cobra.Command {
	var n connection
	var out output
	c := &cobra.Command{
		Use:     "backup DIR",
		Aliases: []string{"snapshot"},
		Short:   "Save the cluster in a directory, or what is new of it",
		Long: `Save all keys and their history, leases, users and roles in DIR, as they are at one
revision, which is printed. Everything that was acknowledged before is in it. The cluster
goes on meanwhile, and any of its servers will do.

DIR is made, or has earlier backups of the same cluster: then only what is new is fetched,
and each backup is one more point in DIR from which the cluster can be restored. What the
cluster has compacted since stays in DIR. A backup that broke off is gone on with when the
command is run again.

All that is written is checked, and synced. It is never changed later, so DIR can be
copied by any means while no backup is made. Keep it where only you can read it: it has
the hashes of passwords. Progress goes to the standard error. --timeout is for the
connection alone. With authentication the user needs the role root.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitUnavailable, exitUnreported, exitDamaged),
		Example: `  balsa backup /backup/balsa
  balsa backup list /backup/balsa
  balsa backup verify /backup/balsa
  balsa restore /backup/balsa --time 2026-10-01T14:32:00Z --data-dir /var/lib/balsa`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ck, err := n.connect(p)
		if err != nil {
			return err
		}
		defer ck.Close()
		point, fresh, err := p.receiveBackup(c.Context(), &n, ck, args[0])
		if err != nil {
			return explainBackup(&n, err)
		}
		return out.printPoint(p.stdout, point, fresh)
	}
	c.AddCommand(p.backupList(), p.backupVerify())
	return c
}

// receiveBackup makes a backup, in as many streams as that takes.
func (p *program) receiveBackup(ctx context.Context, n *connection, ck *clerk.Clerk, dir string) (*backup.Point, bool, error) {
	saved := &transfer{verb: "saved", first: "waiting for a server"}
	told := p.begin(false, saved.text)
	defer told.end()
	return p.inStreams(ctx, saved, func() (*backup.Point, bool, error) {
		if err := p.reach(ctx, n, ck, "backup"); err != nil {
			return nil, false, err
		}
		return p.receiveStream(ctx, ck, dir, func(g backup.Progress) { saved.tell(g.Bytes, g.Of) })
	})
}

// backupPause is between two streams of a backup: each of them costs a server a checkpoint.
const backupPause = time.Second

// inStreams calls receive for each stream: one that has brought something is followed by the next.
func (p *program) inStreams(ctx context.Context, saved *transfer, receive func() (*backup.Point, bool, error)) (*backup.Point, bool, error) {
	for {
		before := saved.got
		point, fresh, err := receive()
		broken := errors.Is(err, clerk.ErrUnavailable) || errors.Is(err, clerk.ErrBackupTime) || errors.Is(err, errStream)
		if !broken || ctx.Err() != nil || saved.got == before {
			return point, fresh, err
		}
		p.note("the stream has ended, and is gone on with: %s", oneLine(err))
		select {
		case <-time.After(backupPause):
		case <-ctx.Done():
			return point, fresh, err
		}
	}
}

// errStream marks the errors of a stream, as opposed to those of the directory.
var errStream = errors.New("the stream of the backup has ended")

// stream is a backup.Source whose errors are marked.
type stream struct{ *clerk.Backup }

func (s stream) File(ctx context.Context, name []byte, offset int64) (io.ReadCloser, error) {
	f, err := s.Backup.File(ctx, name, offset)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStream, err)
	}
	return markedFile{f}, nil
}

type markedFile struct{ io.ReadCloser }

func (f markedFile) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errStream, err)
	}
	return n, err
}

func (p *program) receiveStream(ctx context.Context, ck *clerk.Clerk, dir string, tell func(backup.Progress)) (*backup.Point, bool, error) {
	from, err := ck.OpenBackup(ctx)
	if err != nil {
		return nil, false, err
	}
	defer from.Close()
	return backup.Receive(ctx, vfs.OS, dir, stream{from}, tell)
}

func explainBackup(n *connection, err error) error {
	corrupt := new(run.CorruptError)
	switch {
	case errors.Is(err, backup.ErrDamaged), errors.As(err, &corrupt) && !errors.Is(err, run.ErrUnreadable):
		return withCode(exitDamaged, "%w", err)
	case errors.Is(err, backup.ErrNoBackup), errors.Is(err, backup.ErrOtherCluster):
		return usageError("%w", err)
	case status.Code(err) == codes.Unimplemented:
		return errors.New("backup: the servers are of an older version, which makes no backups: upgrade them, one after the other, and try again")
	case errors.Is(err, clerk.ErrUnavailable), errors.Is(err, errStream):
		return withCode(exitUnavailable, "%w; run the command again to go on", err)
	case clerk.Denied(err):
		return n.explainCall("backup", err)
	}
	return err
}

// pointJSON is a point in the format of -o json.
type pointJSON struct {
	Revision  uint64    `json:"revision"`
	Compacted uint64    `json:"compacted_revision"`
	Index     uint64    `json:"index"`
	Hash      string    `json:"hash"`
	Time      time.Time `json:"time"`
	Bytes     int64     `json:"bytes"`
	New       int64     `json:"new_bytes"`
	Nothing   bool      `json:"nothing_new,omitempty"`
}

func jsonOfPoint(p *backup.Point) pointJSON {
	return pointJSON{
		Revision: p.Revision, Compacted: p.Compacted, Index: p.Index, Hash: fmt.Sprintf("%016x", p.Hash),
		Time: p.Taken.UTC(), Bytes: p.Bytes, New: p.New,
	}
}

func (o *output) printPoint(w io.Writer, p *backup.Point, fresh bool) error {
	if o.isJSON() {
		j := jsonOfPoint(p)
		j.Nothing = !fresh
		return writeJSON(w, j)
	}
	text := ""
	if !fresh {
		text = " nothing_new=true"
	}
	_, err := fmt.Fprintf(w, "revision=%d compacted=%d time=%s size=%s new=%s%s\n",
		p.Revision, p.Compacted, p.Taken.UTC().Format(time.RFC3339), bytesWord(p.Bytes), bytesWord(p.New), text)
	return err
}

// bytesWord is bytesText as one word.
func bytesWord(n int64) string { return strings.ReplaceAll(bytesText(uint64(n)), " ", "") }

func (p *program) backupList() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "list DIR",
		Short: "List the points of a backup",
		Long: `List the points in DIR: each is one "balsa backup". COVERS are the revisions to which
"balsa restore" can go from it, SIZE is that of all its files, and NEW of those that no
point before it has. No server is asked.

` + exitHelp(exitOK, exitError, exitUsage, exitUnreported, exitDamaged),
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	out.addFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		d, err := backup.Open(vfs.OS, args[0])
		if err != nil {
			return explainBackup(nil, err)
		}
		for _, damage := range d.Damage() {
			p.note("balsa: %s; the other points are of use", oneLine(damage))
		}
		if out.isJSON() {
			for _, point := range d.Points() {
				if err := writeJSON(p.stdout, jsonOfPoint(point)); err != nil {
					return err
				}
			}
			return someDamaged(d)
		}
		t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "REVISION\tTIME\tCOVERS\tSIZE\tNEW")
		for _, q := range d.Points() {
			fmt.Fprintf(t, "%d\t%s\t%d to %d\t%s\t%s\n", q.Revision, q.Taken.UTC().Format(time.RFC3339), q.Compacted, q.Revision, bytesWord(q.Bytes), bytesWord(q.New))
		}
		if err := t.Flush(); err != nil {
			return err
		}
		return someDamaged(d)
	}
	return c
}

// someDamaged is the exit code for a directory that has points among others which are damaged, or cannot be read now. They
// were named.
func someDamaged(d *backup.Dir) error {
	switch all := errors.Join(d.Damage()...); {
	case all == nil:
		return nil
	case errors.Is(all, backup.ErrDamaged):
		return exitStatus(exitDamaged)
	}
	return exitStatus(exitError)
}

// verifyJSON is what "balsa backup verify" finds, in the format of -o json.
type verifyJSON struct {
	OK      bool     `json:"ok"`
	Points  int      `json:"points"` // that can be read
	Covered string   `json:"covers"`
	Damage  []string `json:"damage"`
}

func (p *program) backupVerify() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "verify DIR",
		Short: "Read all of a backup, and check it",
		Long: `Read every byte of all points in DIR, and check it: each file, each record in it, and
that the files of a point add up to the hash of the state that the servers had. What is
damaged goes to the standard output, a line each, or with -o json in a list. No server is
asked. It takes the memory that a server takes for the index of its keys.

` + exitHelp(exitOK, exitError, exitUsage, exitUnreported, exitDamaged) + `
That DIR has no point, since its first backup has broken off, is 2.`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		d, err := backup.Open(vfs.OS, args[0])
		if err != nil {
			return explainBackup(nil, err)
		}
		found := verifyJSON{Points: len(d.Points()), Covered: d.Covered(), Damage: []string{}}
		read, damaged, unread := &transfer{verb: "read"}, false, false
		told := p.begin(false, read.text)
		err = d.Verify(c.Context(), func(g backup.Progress) { read.tell(g.Bytes, g.Of) }, func(err error) {
			damaged = damaged || errors.Is(err, backup.ErrDamaged)
			unread = unread || errors.Is(err, backup.ErrUnreadable)
			found.Damage = append(found.Damage, oneLine(err))
			if !out.isJSON() {
				fmt.Fprintln(p.stdout, oneLine(err))
			}
		})
		told.end()
		if found.OK = len(found.Damage) == 0 && found.Points > 0; err == nil && out.isJSON() {
			err = writeJSON(p.stdout, found)
		}
		switch {
		case err != nil:
			return err
		case found.Points == 0 && len(found.Damage) == 0:
			return usageError("%s: %w", args[0], errNoPoints)
		case !found.OK && !damaged && !unread:
			return fmt.Errorf("%s has points that only a newer program reads; its others are in order: %s", args[0], found.Covered)
		case !found.OK && !damaged:
			return fmt.Errorf("%w: %s; try again, and if it stays so make a new backup in another directory", backup.ErrUnreadable, args[0])
		case !found.OK && len(d.Damage()) == len(found.Damage) && found.Points > 0:
			return withCode(exitDamaged, "%w: %s; its other points are in order: %s", backup.ErrDamaged, args[0], found.Covered)
		case !found.OK:
			return withCode(exitDamaged, "%w: %s; make a new backup in another directory", backup.ErrDamaged, args[0])
		}
		if out.isJSON() {
			return nil
		}
		_, err = fmt.Fprintf(p.stdout, "%d points are in order: %s\n", found.Points, found.Covered)
		return err
	}
	return c
}
