package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"balsa.example/kv/run"
	"balsa.example/state"
	"balsa.example/vfs"

	"path/filepath"
)

// Source is a member, or what stands between.
type Source interface {
	// Image returns the image of a durable state of a cluster, and a time: it has everything that was acknowledged
	// before. The runs of the image can be had as long as the Source is open.
	Image(ctx context.Context) (image []byte, cluster uint64, taken time.Time, err error)
	// File opens a run by state.RunName, from an offset on.
	File(ctx context.Context, name []byte, offset int64) (io.ReadCloser, error)
}

// Progress is how far a backup is: of all bytes that it has to get, how many it has got.
type Progress struct{ Bytes, Of int64 }

// Receive adds a point to the backups in a directory, which is made if it is missing. fresh tells
// whether there was anything new: otherwise the point is the newest that there was.
func Receive(ctx context.Context, fsys vfs.FS, path string, from Source, tell func(Progress)) (p *Point, fresh bool, err error) {
	b, cluster, taken, err := from.Image(ctx)
	if err != nil {
		return nil, false, err
	}
	im, err := state.DecodeImage(b, cluster)
	if err != nil {
		return nil, false, fmt.Errorf("the state that was sent: %w", err)
	}
	d, lock, err := begin(fsys, path, cluster, im.History())
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := d.present(); err != nil {
		return nil, false, err
	}
	if newest := d.newest(); newest != nil && newest.Index >= uint64(im.Position().Index) {
		if newest.Index != uint64(im.Position().Index) || newest.Hash != im.Hash() {
			return nil, false, fmt.Errorf("the newest point in %s is at entry %d of the log, and the server's state at %d: has the cluster lost what it had?",
				path, newest.Index, im.Position().Index)
		}
		p, _, err := d.read(newest.name)
		if err == nil {
			p.New = newest.New + p.own
		}
		if !errors.Is(err, ErrDamaged) { // else it is made anew
			return p, false, err
		}
	}
	r := &receiver{Dir: d, from: from, tell: tell}
	if err := r.number(); err != nil {
		return nil, false, err
	}
	runs, err := r.runs(ctx, im.Runs())
	if err != nil {
		return nil, false, err
	}
	im = im.WithRuns(runs, r.next)
	p = pointOf(im, taken)
	if err := d.write(p, im); err != nil {
		return nil, false, err
	}
	return d.newest(), true, d.removeStrays()
}

// present refuses a directory that lacks a file, or a part of one, that an earlier point needs: a new point
// would rest on it, too. If that point is damaged itself, it is left out instead. What is in the files only Verify reads.
// It refuses as well where the disk does not give back a point, or a newer program has written it: which files that needs
// is not known, and they are not to be written to.
func (d *Dir) present() error {
	for _, err := range d.damage {
		if errors.Is(err, ErrUnreadable) {
			return fmt.Errorf("%w; try again, and if it stays so make a new backup in another directory", err)
		} else if errors.Is(err, ErrNewer) {
			return fmt.Errorf("%w; use that program, or make a new backup in another directory", err)
		}
	}
	sizes := map[uint32]int64{} // of the files that are there
	for number := range d.named() {
		stat, err := d.fs.Stat(d.Files().Path(number))
		if err == nil {
			sizes[number] = stat.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, p := range d.Points() {
		lack := d.lack(p, sizes)
		if lack == nil {
			continue
		}
		_, _, err := d.read(p.name) // more than readRuns has: its end may be damaged
		if !errors.Is(err, ErrDamaged) {
			return cmp.Or(err, lack)
		}
		d.damage = append(d.damage, err)
		d.points = slices.DeleteFunc(d.points, func(q *Point) bool { return q == p })
	}
	d.sort()
	return nil
}

// lack is the error of a point that needs a file, or a part of one, that is not there.
func (d *Dir) lack(p *Point, sizes map[uint32]int64) error {
	for i := range p.runs {
		info := &p.runs[i]
		path := d.Files().Path(info.File)
		switch size, ok := sizes[info.File]; {
		case !ok:
			return fmt.Errorf("%w: %s is missing; make a new backup in another directory", ErrDamaged, path)
		case size < info.Bytes:
			return fmt.Errorf("%w: %s has %d bytes, and had %d; make a new backup in another directory", ErrDamaged, path, size, info.Bytes)
		}
	}
	return nil
}

func (d *Dir) newest() *Point {
	if len(d.points) == 0 {
		return nil
	}
	return d.points[len(d.points)-1]
}

// receiver gets what a point lacks.
type receiver struct {
	*Dir
	from Source
	tell func(Progress)
	done Progress

	next   uint32
	strays []uint32 // files in no point, which a backup that broke off has left
}

// number finds the strays, and the number of the next file.
func (r *receiver) number() error {
	all, err := r.Files().List()
	if err != nil {
		return err
	}
	named := r.named()
	r.next = 1
	for _, number := range all {
		if named[number] == nil {
			stat, err := r.fs.Stat(r.Files().Path(number))
			if err == nil && stat.Size() == 0 { // nothing has come: without this such files could grow in number
				err = r.Files().Remove(number)
			} else if err == nil {
				r.strays = append(r.strays, number)
			}
			if err != nil {
				return err
			}
		}
		r.next = max(r.next, number+1)
	}
	for number := range named {
		r.next = max(r.next, number+1)
	}
	return nil
}

// named returns of each file that a point names what is the longest of it.
func (d *Dir) named() map[uint32]*run.Info {
	named := map[uint32]*run.Info{}
	for _, p := range d.points {
		for i := range p.runs {
			info := &p.runs[i]
			if have := named[info.File]; have == nil || have.Bytes < info.Bytes {
				named[info.File] = info
			}
		}
	}
	return named
}

// runs returns the runs of a member as they are in this directory, and gets those that are not.
func (r *receiver) runs(ctx context.Context, theirs []run.Info) ([]run.Info, error) {
	ours := map[string]uint32{}
	for _, p := range r.points {
		for i := range p.runs {
			ours[string(state.RunName(&p.runs[i]))] = p.runs[i].File
		}
	}
	runs := slices.Clone(theirs)
	var missing []*run.Info
	for i := range runs {
		info := &runs[i]
		if file, ok := ours[string(state.RunName(info))]; ok {
			info.File = file
			continue
		}
		missing = append(missing, info)
		r.done.Of += info.Bytes
	}
	for _, info := range missing {
		if err := r.get(ctx, info); err != nil {
			return nil, err
		}
		switch err := r.Files().Verify(ctx, *info, nil); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(judged(err), ErrDamaged):
			return nil, fmt.Errorf("what was sent is damaged: %w", err)
		case err != nil:
			return nil, judged(err)
		}
	}
	return runs, nil
}

// get gets one run: behind the one that it goes on, else to a file where it has come in part, else to a
// new one.
func (r *receiver) get(ctx context.Context, info *run.Info) error {
	if own := r.extendedBy(info); own != nil {
		err := r.fetch(ctx, info, own.File, own.Bytes, r.Files().Extend)
		if c := new(run.CorruptError); !errors.As(err, &c) {
			return err
		}
	}
	for i, number := range r.strays {
		same, err := r.Files().SameHead(number, *info)
		if err != nil && !errors.Is(err, run.ErrUnreadable) {
			return err
		}
		if !same {
			continue
		}
		r.strays = slices.Delete(r.strays, i, i+1)
		err = r.fetch(ctx, info, number, 0, r.Files().Receive)
		if c := new(run.CorruptError); !errors.As(err, &c) {
			return err
		}
		break
	}
	r.next++
	return r.fetch(ctx, info, r.next-1, 0, r.Files().Receive)
}

// extendedBy returns the run of a point that a run goes on, if nothing else was written behind it.
func (r *receiver) extendedBy(info *run.Info) *run.Info {
	for _, own := range r.named() {
		if info.Extends(*own) {
			return own
		}
	}
	return nil
}

// fetch gets what is missing of a run in a file, whose first known bytes are certain.
func (r *receiver) fetch(ctx context.Context, info *run.Info, number uint32, known int64, receive run.ReceiveFunc) error {
	there, data, err := r.rest(ctx, info, number, known)
	if err != nil {
		return err
	}
	defer data.Close()
	before := r.done.Bytes
	r.progress(known)
	got, err := receive(ctx, number, *info, there, data, func(n int) { r.progress(int64(n)) })
	if err != nil {
		r.done.Bytes = before
		return err
	}
	*info = got
	return nil
}

// rest returns what a file has of a run, and the bytes behind that. Nothing is asked of the member
// if the file has all.
func (r *receiver) rest(ctx context.Context, info *run.Info, number uint32, known int64) (there run.Part, data io.ReadCloser, err error) {
	whole, err := r.Files().Holds(ctx, number, *info)
	if whole || err != nil {
		return run.Part{Known: known, Have: info.Bytes}, io.NopCloser(strings.NewReader("")), err
	}
	if there, err = r.Files().Received(number, *info, known); err != nil {
		return there, nil, err
	}
	data, err = r.from.File(ctx, state.RunName(info), there.Have)
	return there, data, err
}

func (r *receiver) progress(n int64) {
	r.done.Bytes += n
	if r.tell != nil {
		r.tell(r.done)
	}
}

// removeStrays removes the runs that no point names, unless a damaged point may have named them.
func (d *Dir) removeStrays() error {
	if len(d.damage) > 0 {
		return nil
	}
	all, err := d.Files().List()
	if err != nil {
		return err
	}
	named := d.named()
	for _, number := range all {
		if named[number] == nil {
			err = errors.Join(err, d.Files().Remove(number))
		}
	}
	names, listErr := d.fs.List(d.path)
	for _, name := range names {
		if strings.HasSuffix(name, vfs.TempSuffix) {
			if removeErr := d.fs.Remove(filepath.Join(d.path, name)); !errors.Is(removeErr, fs.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
	}
	return errors.Join(err, listErr)
}
