package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state/lease"

	"github.com/cespare/xxhash/v2"
)

// Image is a durable state at one position but for the files of its history: what OpenState streams,
// and what a backup keeps of each state. Its bytes are
//
//	sender's id (8 bytes), length (8 bytes), manifest, small file
type Image struct {
	cluster  uint64
	manifest *manifest
	small    []byte // the file

	state  small // what is in it, but for the leases
	leases *lease.Table
}

const imageHeadBytes = 16

// imageHead returns the bytes of an image before the small file.
func imageHead(from raft.NodeID, mf *manifest, cluster uint64) []byte {
	b := mf.encode(cluster)
	head := binary.LittleEndian.AppendUint64(nil, uint64(from))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(b)))
	return append(head, b...)
}

// DecodeImage reads an image of a state of a cluster, and checks all of it.
func DecodeImage(b []byte, cluster uint64) (*Image, error) { return decodeImage(b, cluster) }

// maxManifestBytes bounds what is believed of the length of a manifest: it has over a million runs then.
const maxManifestBytes = 256 << 20

// readImage reads what decodeImage takes, as far as it says itself how long it is. The small file has any length: all
// keys may be in it, if they are on leases. Of what is no image, or has something behind it, it reads no more than shows that.
func readImage(data io.Reader, cluster uint64) ([]byte, error) {
	var b bytes.Buffer
	_, err := io.CopyN(&b, data, imageHeadBytes)
	if err == nil {
		length := binary.LittleEndian.Uint64(b.Bytes()[8:])
		_, err = io.CopyN(&b, data, int64(min(length, maxManifestBytes)))
	}
	if err == nil {
		var mf *manifest
		if mf, err = decodeManifest(b.Bytes()[imageHeadBytes:], cluster); err == nil {
			_, err = io.CopyN(&b, data, mf.small.bytes+1)
		}
	}
	if err == io.EOF { // as it should in the end; if it comes too early decodeImage tells what is missing. One in another error is of a broken line
		err = nil
	}
	return b.Bytes(), err
}

func decodeImage(b []byte, cluster uint64) (*Image, error) {
	if len(b) < imageHeadBytes {
		return nil, ErrManifest
	}
	length := binary.LittleEndian.Uint64(b[8:])
	if b = b[imageHeadBytes:]; length > uint64(len(b)) {
		return nil, ErrManifest
	}
	mf, err := decodeManifest(b[:length], cluster)
	if err != nil {
		return nil, err
	}
	im := &Image{cluster: cluster, manifest: mf, small: b[length:]}
	if int64(len(im.small)) != mf.small.bytes || xxhash.Sum64(im.small) != mf.small.checksum {
		return nil, ErrSmall
	}
	if im.state, im.leases, err = decodeSmall(im.small); err != nil {
		return nil, err
	}
	return im, nil
}

// ReadImageHead reads the beginning of an image of a state of a cluster: where in the log that is, its hash, and which runs
// it needs. That has a checksum of its own. Errors of r are returned as they are.
func ReadImageHead(r io.Reader, cluster uint64) (position raft.SnapshotMeta, hash uint64, runs []run.Info, err error) {
	var head [imageHeadBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return position, 0, nil, err
	}
	length := min(binary.LittleEndian.Uint64(head[8:]), math.MaxInt64)
	b, err := io.ReadAll(io.LimitReader(r, int64(length))) // a wrong length costs no more memory than the bytes that are there
	if err != nil {
		return position, 0, nil, err
	}
	mf, err := decodeManifest(b, cluster)
	if err != nil {
		return position, 0, nil, err
	}
	return mf.position, mf.hash, mf.runs, nil
}

// Encode returns the bytes of the image.
func (im *Image) Encode() []byte {
	return append(imageHead(raft.None, im.manifest, im.cluster), im.small...)
}

// Position is the last entry of the log that the state reflects.
func (im *Image) Position() raft.SnapshotMeta { return im.manifest.position }

// Hash is Machine.Hash at the position.
func (im *Image) Hash() uint64 { return im.manifest.hash }

// Revision is that of the store, and Compacted the lowest one that can be read.
func (im *Image) Revision() uint64  { return im.state.totals.Revision() }
func (im *Image) Compacted() uint64 { return max(im.state.totals.Compacted(), 1) }

// Wall is the latest time that a leader had stamped, in milliseconds since 1970; 0: none had.
func (im *Image) Wall() int64 { return im.state.times.wall }

// History stands in the header of each run.
func (im *Image) History() uint64 { return im.manifest.historyIn(im.cluster) }

// Runs are the files of the history. RunName is what members call one of them.
func (im *Image) Runs() []run.Info  { return slices.Clone(im.manifest.runs) }
func RunName(info *run.Info) []byte { return fileName(info) }

// Check compares the hash of the state with what its parts lead to: the history, which is in files, and all
// the rest. It reads the indexes of the runs, and needs memory for that of the store. What it does not
// see is damage to values, which run.Files.Verify does.
func (im *Image) Check(ctx context.Context, files run.Files) error {
	history, err := run.Open(run.Options{FS: files.FS, Dir: files.Dir, Cluster: files.Cluster, CacheBytes: -1}, im.manifest.runs, im.manifest.nextFile)
	if err != nil {
		return err
	}
	p := im.present()
	p.history = history
	if p.keys, err = kv.OpenStore(history, im.state.totals, &p.leases, ctx.Err); err == nil {
		err = im.wantHash(p.hash())
	}
	return errors.Join(err, history.Close())
}

// present is the state without its store.
func (im *Image) present() *present {
	p := new(present)
	p.leases.table = im.leases
	p.quota.Store(im.state.quota)
	p.version.Store(im.state.version)
	p.refused.Store(im.state.refused)
	p.alarms.set(im.state.alarms)
	p.users.set(im.state.users)
	return p
}

func (im *Image) wantHash(hash uint64) error {
	if hash != im.Hash() {
		return fmt.Errorf("%w: its parts have the hash %016x, and it says %016x", ErrManifest, hash, im.Hash())
	}
	return nil
}

// consistent refuses what no start could open, as far as that is seen without the runs.
func (im *Image) consistent() error {
	if err := im.manifest.check(); err != nil {
		return err
	}
	if last := im.manifest.lastRevision(); last > im.Revision() {
		return fmt.Errorf("%w: its runs end at revision %d, its store is at %d", ErrManifest, last, im.Revision())
	}
	chain := uint64(0)
	if n := len(im.manifest.runs); n > 0 {
		chain = im.manifest.runs[n-1].ChainAfter
	}
	return im.wantHash(im.present().hashWith(im.state.totals.Hash(chain)))
}

// WithRuns returns the image with other numbers of the files of its history, all below next.
func (im *Image) WithRuns(runs []run.Info, next uint32) *Image {
	mf, other := *im.manifest, *im
	mf.runs, mf.nextFile, mf.history = runs, next, im.History()
	if mf.history == im.cluster {
		mf.history = 0
	}
	other.manifest = &mf
	return &other
}
