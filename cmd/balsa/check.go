package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"balsa.example/internal/backup"
	"balsa.example/internal/datadir"
	"balsa.example/internal/offline"
	"balsa.example/state"
	"balsa.example/vfs"
	"balsa.example/wal"
)

func (p *program) check() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:     "check DATA-DIR",
		Aliases: []string{"fsck"},
		Short:   "Read all of a data directory, and check it",
		Long: `Read every byte of a data directory, and check it: who it belongs to, each record of the
log and of the history, and that all together has the hash that the server had written
down. Nothing is changed. A directory on which a server runs is refused, and so is a server
that is started on it meanwhile: its LOCK is held. Do not start one on a copy without LOCK.

What is not in order goes to the standard output: which file, where in it, what is wrong,
and what to do. What a crash leaves is in order. It takes the memory that a server takes for
the index of its keys.

` + exitHelp(exitOK, exitError, exitUsage, exitUnreported, exitDamaged),
		Example: `  balsa check /var/lib/balsa`,
		Args:    usageArgs(cobra.ExactArgs(1)),
	}
	out.addFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		read, bytes := &transfer{verb: "read", first: "reading " + args[0]}, int64(0)
		told := p.begin(false, read.text)
		r, err := offline.Check(c.Context(), vfs.OS, args[0], func(n int) {
			bytes += int64(n)
			read.tell(bytes, 0)
		})
		told.end()
		switch {
		case errors.Is(err, offline.ErrInUse), errors.Is(err, offline.ErrNothing):
			return usageError("%w", err)
		case err != nil:
			return err
		}
		p.noteUnlocked(args[0], r.Unlocked)
		j := jsonOfReport(r)
		if out.isJSON() {
			err = writeJSON(p.stdout, j)
		} else {
			err = j.print(p, args[0])
		}
		if err == nil && len(r.Problems) > 0 {
			return withCode(exitDamaged, "%s is not in order", args[0])
		}
		return err
	}
	return c
}

// noteUnlocked warns of a directory that is read without its lock.
func (p *program) noteUnlocked(dir string, err error) {
	if err != nil {
		p.note("balsa: warning: %s is read without its lock (%s): no server may have been started on it meanwhile", dir, oneLine(err))
	}
}

// reportJSON is what a data directory holds, in the format of -o json.
type reportJSON struct {
	Name     string        `json:"name,omitempty"`
	Member   string        `json:"member,omitempty"`
	Cluster  string        `json:"cluster,omitempty"`
	Term     uint64        `json:"term"`
	Last     uint64        `json:"last_index"`
	Durable  uint64        `json:"state_index"`
	Revision uint64        `json:"state_revision"`
	Hash     string        `json:"state_hash,omitempty"`
	Witness  bool          `json:"witness,omitempty"`
	Problems []problemJSON `json:"problems"`
}

type problemJSON struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	What   string `json:"what"`
	Do     string `json:"do"`
}

func jsonOfReport(r *offline.Report) *reportJSON {
	j := &reportJSON{Problems: []problemJSON{}, Witness: r.Witness}
	if m := r.Members; m != nil {
		j.Name, j.Member = m.Name, m.Identity.NodeID.String()
		if m.Identity.ClusterID != 0 {
			j.Cluster = fmt.Sprintf("%016x", m.Identity.ClusterID)
		}
	}
	if l := r.Log; l != nil {
		j.Term, j.Last = uint64(l.HardState.Term), uint64(l.Last)
	}
	if im := r.State; im != nil {
		j.Durable, j.Revision, j.Hash = uint64(im.Position().Index), im.Revision(), fmt.Sprintf("%016x", im.Hash())
		j.Last = max(j.Last, j.Durable)
	}
	for _, problem := range r.Problems {
		j.Problems = append(j.Problems, problemJSON(problem))
	}
	return j
}

func (j *reportJSON) print(p *program, dir string) error {
	for _, problem := range j.Problems {
		fmt.Fprintf(p.stdout, "%s at offset %d: %s\n  to do: %s\n", problem.File, problem.Offset, strings.TrimSpace(problem.What), problem.Do)
	}
	if len(j.Problems) > 0 {
		return nil
	}
	holds := fmt.Sprintf("state_index=%d state_revision=%d", j.Durable, j.Revision)
	if j.Witness {
		holds = "witness=true"
	}
	_, err := fmt.Fprintf(p.stdout, "%s is in order: name=%q cluster=%s term=%d last_index=%d %s\n", dir, j.Name, orNone(j.Cluster), j.Term, j.Last, holds)
	return err
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func (p *program) recover() *cobra.Command {
	var dataDir string
	var yes, keep bool
	var out output
	c := &cobra.Command{
		Use:   "recover OLD-DATA-DIR",
		Short: "Begin a new cluster from one server's directory, when the others are lost for good",
		Long: `Make the data directory of a new cluster of one from that of a server of a cluster whose
majority is lost for good. Without --yes it only says what would be kept, and what may be
lost: everything that others had acknowledged and this server had not got.

Take the server whose directory goes furthest: compare the output for all that are left.
What speaks against a directory goes to the standard error: that its state differed from
that of a majority, say.
The whole end of its log is used, also what no majority may have had. The directory is only
read, and stays as it is. One on which a server runs is refused, and so is a server that is
started on it meanwhile: its LOCK is held. Do not start one on a copy without LOCK.

The new cluster has another identity: no server of the old one gets into it, and a client
of the old one has to be started anew. Start it with "balsa serve --data-dir NEW" as a
cluster of one, and add members then. What it has is what "balsa restore" makes of a
backup: see there for leases, sessions and revisions.

` + exitHelp(exitOK, exitError, exitUsage, exitUnreported, exitDamaged),
		Example: `  balsa recover /var/lib/balsa --data-dir /var/lib/balsa.new
  balsa recover /var/lib/balsa --data-dir /var/lib/balsa.new --yes`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	out.addFlag(c)
	c.Flags().StringVar(&dataDir, "data-dir", "", "directory to make; it must not exist, or be empty")
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	c.Flags().BoolVar(&keep, "keep-revisions", false, "go on at the revision, and keep the history before it")
	c.RunE = func(c *cobra.Command, args []string) error {
		if dataDir == "" {
			return usageError("--data-dir is missing: the directory to make")
		}
		j, err := p.recoverFrom(c.Context(), args[0], dataDir, yes, keep)
		if err != nil {
			return explainRecover(err)
		}
		for _, doubt := range j.Doubts {
			p.note("balsa: warning: %s: %s; take another directory if there is one, or a backup", args[0], doubt)
		}
		if out.isJSON() {
			return writeJSON(p.stdout, j)
		}
		return j.print(p, args[0], dataDir)
	}
	return c
}

func explainRecover(err error) error {
	switch {
	case errors.Is(err, offline.ErrInUse), errors.Is(err, offline.ErrWitness), errors.Is(err, wal.ErrNotCreated),
		errors.Is(err, offline.ErrMissing), errors.Is(err, offline.ErrNothing):
		return usageError("%w", err)
	case errors.Is(err, datadir.ErrDamaged), errors.As(err, new(*wal.CorruptionError)):
		return withCode(exitDamaged, "%w", err)
	}
	return explainBackup(nil, err)
}

// survivorJSON is what a directory brings into a new cluster, in the format of -o json.
type survivorJSON struct {
	Name     string        `json:"name,omitempty"`
	Cluster  string        `json:"cluster"`
	Term     uint64        `json:"term"`
	Index    uint64        `json:"last_index"`
	Replayed int           `json:"replayed"`
	Stamped  string        `json:"last_time,omitempty"`
	Revision uint64        `json:"revision"`
	Doubts   []string      `json:"doubts,omitempty"`
	Made     *restoredJSON `json:"recovered,omitempty"`
}

// recovering is the directory for what is needed only while a directory is read.
const recovering = "recovering"

func (p *program) recoverFrom(ctx context.Context, old, dataDir string, yes, keep bool) (j *survivorJSON, err error) {
	release, err := reserve(dataDir)
	if err != nil {
		return nil, err
	}
	defer release()
	reading := p.waiting("reading " + old)
	s, err := offline.Survey(ctx, vfs.OS, old, filepath.Join(dataDir, recovering))
	reading.end()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p.noteUnlocked(old, s.Unlocked)
	j = &survivorJSON{
		Name: s.Name, Cluster: fmt.Sprintf("%016x", s.Cluster), Term: uint64(s.Term), Index: uint64(s.Index), Replayed: s.Replayed, Revision: s.Revision, Doubts: s.Doubts,
	}
	if !s.Stamped.IsZero() {
		j.Stamped = s.Stamped.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	if !yes {
		return j, nil
	}
	moveTo := uint64(0)
	if !keep {
		moveTo = s.Revision + restoreMargin
	}
	j.Made, err = p.writeRestored(restoreFlags{dataDir: dataDir}, 0, backup.At{Revision: s.Revision}, moveTo, func(r state.Restoration) (*state.Image, error) {
		return s.Write(ctx, dataDir, moveTo, r.Pace)
	})
	return j, err
}

func (j *survivorJSON) print(p *program, old, dataDir string) error {
	stamped := j.Stamped
	if stamped == "" {
		stamped = "unknown"
	}
	fmt.Fprintf(p.stdout, "%s: name=%q cluster=%s term=%d last_index=%d last_time=%s revision=%d\n", old, j.Name, j.Cluster, j.Term, j.Index, stamped, j.Revision)
	if j.Made != nil {
		_, err := fmt.Fprintf(p.stdout, "recovered new_revision=%d hash=%s data_dir=%s\nstart it as a cluster of one: balsa serve --name %s --data-dir %s ...\n",
			j.Made.NewRevision, j.Made.Hash, dataDir, cmp.Or(j.Name, "NAME"), dataDir)
		return err
	}
	_, err := fmt.Fprintf(p.stdout, `What other servers have acknowledged behind entry %d, or in a later term than %d, is lost.
Compare the other directories that are left: take the one with the highest term, and of
these the one with the highest last_index. To go on, run the command again with --yes.
`, j.Index, j.Term)
	return err
}
