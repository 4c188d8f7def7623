package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"balsa.example/kv/run"
	"balsa.example/vfs"
)

// CheckDir reads all durable state in a directory that no Machine uses, and checks it: the manifest, each
// run record by record, that the runs follow one another, and that all together has the hash that the
// manifest says. It changes nothing, and calls bad for each thing that is not in order. It returns the image of
// the state, nil if there is none: then the directory is missing, holds what a crash has left before the
// first checkpoint, or is damaged.
func CheckDir(ctx context.Context, fsys vfs.FS, dir string, cluster uint64, pace func(int), bad func(error)) *Image {
	im, err := ReadDir(fsys, dir, cluster)
	if err != nil {
		bad(err)
	}
	if im == nil {
		return nil
	}
	if err := im.state.usableBy(Version); err != nil {
		bad(err)
	}
	files := run.Files{FS: fsys, Dir: dir, Cluster: im.History()}
	whole := true
	for _, info := range im.manifest.runs {
		if err := files.Verify(ctx, info, pace); err != nil {
			whole = false
			bad(err)
		}
		if ctx.Err() != nil {
			return im
		}
	}
	if whole {
		if err := im.Check(ctx, files); err != nil && ctx.Err() == nil {
			bad(err)
		}
	}
	return im
}

// ReadDir reads the image of the newest durable state in a directory, or of the one that was restored and
// waits for a birth; nil if there is neither.
func ReadDir(fsys vfs.FS, dir string, cluster uint64) (*Image, error) {
	f := files{fs: fsys, dir: dir, cluster: cluster}
	mf, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(manifestName), err)
	}
	if mf == nil {
		b, err := vfs.ReadFile(fsys, f.path(restoredName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		im, err := decodeImage(b, 0)
		if err != nil {
			err = fmt.Errorf("%s: %w", filepath.Join(dir, restoredName), err)
		}
		return im, err
	}
	small, err := f.readSmall(mf.small)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %s is missing", ErrSmall, f.path(smallName(mf.small.number)))
	}
	if err != nil {
		return nil, err
	}
	im := &Image{cluster: cluster, manifest: mf, small: small}
	if im.state, im.leases, err = decodeSmall(small); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(smallName(mf.small.number)), err)
	}
	return im, nil
}
