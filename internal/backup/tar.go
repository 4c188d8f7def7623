package backup

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/cespare/xxhash/v2"

	"balsa.example/kv/run"
	"balsa.example/state"
)

// WriteTar writes a directory with one point as a tar file, to what begin returns when the name of the
// directory is known. Nothing is kept on a disk meanwhile. The point comes last: a file that was cut off
// has none.
func WriteTar(ctx context.Context, from Source, begin func(name string) io.Writer) (*Point, error) {
	b, cluster, taken, err := from.Image(ctx)
	if err != nil {
		return nil, err
	}
	im, err := state.DecodeImage(b, cluster)
	if err != nil {
		return nil, fmt.Errorf("the state that was sent: %w", err)
	}
	runs := im.Runs()
	for i := range runs {
		runs[i].File = uint32(i + 1)
	}
	im = im.WithRuns(runs, uint32(len(runs)+1))
	p := pointOf(im, taken)
	dir := fmt.Sprintf("balsa-%s-%d", taken.UTC().Format("20060102-150405"), p.Revision)
	to := tarDir{tar.NewWriter(begin(dir)), dir, taken}
	if err := to.file(headName, encodeHead(cluster, im.History())); err != nil {
		return nil, err
	}
	for i := range runs {
		if err := to.run(ctx, from, &runs[i]); err != nil {
			return nil, err
		}
	}
	if err := to.file(p.name, p.encode(cluster, im)); err != nil {
		return nil, err
	}
	return p, to.w.Close()
}

// tarDir is a directory in a tar file.
type tarDir struct {
	w    *tar.Writer
	dir  string
	time time.Time
}

// begin begins a file. Only its owner may read it: it may have the hashes of passwords.
func (t *tarDir) begin(name string, size int64) error {
	return t.w.WriteHeader(&tar.Header{Name: t.dir + "/" + name, Mode: 0o600, Size: size, ModTime: t.time, Typeflag: tar.TypeReg})
}

func (t *tarDir) file(name string, data []byte) error {
	if err := t.begin(name, int64(len(data))); err != nil {
		return err
	}
	_, err := t.w.Write(data)
	return err
}

// run writes a run, and compares its checksum.
func (t *tarDir) run(ctx context.Context, from Source, info *run.Info) error {
	data, err := from.File(ctx, state.RunName(info), 0)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := t.begin(filepath.Base(run.Files{}.Path(info.File)), info.Bytes); err != nil {
		return err
	}
	digest := xxhash.New()
	if _, err := io.CopyN(t.w, io.TeeReader(data, digest), info.Bytes); err != nil {
		return err
	}
	if digest.Sum64() != info.Checksum {
		return fmt.Errorf("%w: the checksum of a run that was sent is %016x, want %016x", ErrDamaged, digest.Sum64(), info.Checksum)
	}
	return nil
}
