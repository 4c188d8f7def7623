package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// Verify reads a whole run from its file and checks all of it: the header, each record, their chain
// hash, the footer, and that the index says what the records say. It calls pace after each piece,
// which may wait. What it finds is a *CorruptError.
func (f Files) Verify(ctx context.Context, info Info, pace func(bytes int)) error {
	file, err := f.open(info.File)
	if err != nil {
		return err
	}
	defer file.Close()
	v := verifier{files: f, file: file, info: info, ctx: ctx, pace: pace, chain: info.ChainBefore}
	v.digest.Reset()
	if err := v.header(); err != nil {
		return err
	}
	if err := v.records(); err != nil {
		return err
	}
	return v.footer()
}

type verifier struct {
	files   Files
	file    io.ReaderAt
	info    Info
	ctx     context.Context
	pace    func(int)
	unpaced int

	digest xxhash.Digest
	salt   uint64
	chain  uint64
	count  int64
	last   record
	// sum is that of the hashes of all entries: plus for records, minus for the index.
	sum uint64
}

func (v *verifier) corrupt(offset int64, reason string, args ...any) error {
	return v.files.corrupt(v.info.File, offset, fmt.Errorf(reason, args...))
}

// read counts bytes that were read and are in order.
func (v *verifier) read(b []byte) error {
	v.digest.Write(b)
	if v.unpaced += len(b); v.unpaced >= pacedBytes {
		if v.pace != nil {
			v.pace(v.unpaced)
		}
		v.unpaced = 0
		return v.ctx.Err()
	}
	return nil
}

func (v *verifier) header() error {
	head, salt := headerOf(v.files.Cluster, v.info).encode()
	v.salt = salt
	if err := v.files.checkHeader(v.file, v.info); err != nil {
		return err
	}
	return v.read(head[:])
}

func (v *verifier) records() error {
	r, err := v.files.records(v.file, v.info, 0)
	if err != nil {
		return err
	}
	for {
		before := v.last
		switch err := r.next(&v.last); {
		case errors.Is(err, io.EOF):
			return v.end(r.at)
		case err != nil:
			return err
		}
		rec := &v.last
		if v.count++; v.count > 1 && (rec.Mod < before.Mod || (rec.Mod == before.Mod) == before.Last) {
			return v.corrupt(int64(rec.at.Offset), "a record of revision %d after one of %d", rec.Mod, before.Mod)
		}
		v.chain = link(v.chain, rec.hash)
		v.sum += entryOf(&rec.Record, rec.at).hash()
		if err := v.read(rec.raw); err != nil {
			return err
		}
	}
}

// end compares the records with what the manifest says of them.
func (v *verifier) end(at int64) error {
	switch {
	case v.count != v.info.Records:
		return v.corrupt(at, "%d records, want %d", v.count, v.info.Records)
	case v.count > 0 && !v.last.Last:
		return v.corrupt(at, "the last revision is not complete")
	case !v.info.Rewritten && (v.chain != v.info.ChainAfter || v.last.Mod != v.info.Last):
		return v.corrupt(at, "the records end at revision %d with chain hash %016x, want %d and %016x", v.last.Mod, v.chain, v.info.Last, v.info.ChainAfter)
	}
	return nil
}

// footer checks what follows the records.
func (v *verifier) footer() error {
	if v.info.Sealed {
		if err := v.index(); err != nil {
			return err
		}
	}
	if v.digest.Sum64() != v.info.Checksum {
		return v.corrupt(0, "the checksum of the file is %016x, want %016x", v.digest.Sum64(), v.info.Checksum)
	}
	return nil
}

func (v *verifier) index() error {
	t, err := v.files.readTrailer(v.file, v.info, v.salt)
	if err != nil {
		return err
	}
	if t.records != v.info.Records || t.last != v.info.Last || t.chainAfter != v.info.ChainAfter {
		return v.corrupt(v.info.Bytes-trailerSize, "the trailer is of another run")
	}
	b := make([]byte, v.info.Bytes-t.indexAt)
	if err := v.files.readAt(v.file, v.info.File, b, t.indexAt); err != nil {
		return err
	}
	if err := v.read(b); err != nil {
		return err
	}
	if err := v.entries(b[:t.stepsAt-t.indexAt], t.indexAt); err != nil {
		return err
	}
	if v.sum != 0 {
		return v.corrupt(t.indexAt, "the index does not say what the records say")
	}
	_, err = v.files.readStep(v.file, v.info, v.salt, t, ^uint64(0))
	return err
}

func (v *verifier) entries(b []byte, at int64) error {
	var last []byte
	for len(b) > 0 {
		n, err := blockLen(b[:min(len(b), recordHead)])
		if err != nil || n > int64(len(b)) {
			return v.corrupt(at, "%w", errBlock)
		}
		content, err := checkBlock(b[:n], v.salt, at)
		if err != nil {
			return v.corrupt(at, "%w", err)
		}
		e := entries{b: content, first: v.info.First, file: v.info.File}
		for {
			ok, err := e.next()
			if err != nil {
				return v.corrupt(at, "%w", err)
			}
			if !ok {
				break
			}
			if bytes.Compare(e.Key, last) < 0 {
				return v.corrupt(at, "the index is not sorted")
			}
			last = append(last[:0], e.Key...)
			v.sum -= e.hash()
		}
		b, at = b[n:], at+n
	}
	return nil
}
