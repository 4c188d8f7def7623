package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cespare/xxhash/v2"
)

// Received returns what a file holds of a run that Receive or Extend has begun to write.
// That begins with the run's header, and records that are whole; the rest is compared when that ends.
// The first known bytes are not read: they are the file's own, up to the end of a record, or 0.
// The others may be in memory only, so Receive and Extend write them again.
//
// A file that does not begin with the header holds nothing of the run. It is a *CorruptError if some bytes
// are known: the file is not to be made anew, since a manifest names it and the next read may find them.
func (f Files) Received(number uint32, info Info, known int64) (Part, error) {
	there, err := f.received(number, info, known)
	if known > 0 && there.Have == 0 {
		return there, err
	}
	return there, ignoreCorrupt(err)
}

func (f Files) received(number uint32, info Info, known int64) (Part, error) {
	file, err := f.open(number)
	if err != nil {
		return Part{}, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return Part{}, fmt.Errorf("run: stat: %w", err)
	}
	info.File = number
	if err := f.checkHeader(file, info); err != nil {
		return Part{}, err
	}
	_, salt := headerOf(f.Cluster, info).encode()
	r := reader{files: f, file: file, number: number, salt: salt, at: max(known, headerSize), end: min(stat.Size(), info.Bytes)}
	var rec record
	for err == nil {
		err = r.next(&rec)
	}
	return Part{Known: known, Have: r.at}, err
}

// SameHead tells whether a file begins with the header of a run, as what Receive has begun to write
// does. A file that does not exist does not. An error says that the file could not be read: it matches ErrUnreadable
// where the disk is why.
func (f Files) SameHead(number uint32, info Info) (bool, error) {
	info.File = number
	file, err := f.open(number)
	if err == nil {
		defer file.Close()
		err = f.checkHeader(file, info)
	}
	if err != nil && !errors.Is(err, ErrUnreadable) {
		return false, ignoreCorrupt(err)
	}
	return err == nil, err
}

// Holds tells whether a file has all bytes of a run: whether there is nothing to receive.
func (f Files) Holds(ctx context.Context, number uint32, info Info) (bool, error) {
	stat, err := f.FS.Stat(f.Path(number))
	if errors.Is(err, fs.ErrNotExist) || err == nil && stat.Size() < info.Bytes {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("run: stat: %w", err)
	}
	digest, err := f.digest(ctx, number, info.Bytes)
	return err == nil && digest.Sum64() == info.Checksum, ignoreCorrupt(err)
}

// ignoreCorrupt is for a file that may end anywhere.
func ignoreCorrupt(err error) error {
	if c := new(CorruptError); errors.As(err, &c) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Part says what is there of a file that is received: Have bytes are in it, and the first Known of them
// are durable. The zero value makes the file.
type Part struct{ Known, Have int64 }

// ReceiveFunc is Files.Receive or Extend.
type ReceiveFunc func(ctx context.Context, number uint32, info Info, there Part, data io.Reader, pace func(bytes int)) (Info, error)

// Receive writes the bytes of another member's run to a file of this one, of which a part is there;
// data goes on behind that. It returns the Info of that file, which is durable and has the checksum.
// If data ends early, or fails, the file keeps what came, so that it can be resumed. If the checksum
// is wrong the error is a *CorruptError, and the file is removed.
//
// It writes again what is there and not known to be durable. If a process was killed, or a sync failed,
// between the write and the sync of it, then what was read may be in memory only, and a sync of pages
// that once failed to be written may do nothing.
func (f Files) Receive(ctx context.Context, number uint32, info Info, there Part, data io.Reader, pace func(bytes int)) (Info, error) {
	info, err := f.Extend(ctx, number, info, there, data, pace)
	if c := new(CorruptError); errors.As(err, &c) {
		err = errors.Join(err, f.Remove(number))
	}
	return info, err
}

// Extend is Receive into a file that a manifest of this member names, as a run that info extends.
// It writes behind the bytes that the manifest counts, so the manifest holds whatever comes: a file
// may be longer. Nothing removes the file.
func (f Files) Extend(ctx context.Context, number uint32, info Info, there Part, data io.Reader, pace func(bytes int)) (Info, error) {
	info.File = number
	digest, err := f.digest(ctx, number, there.Known)
	if err != nil {
		return info, err
	}
	w, err := f.writer(number, there.Known, there.Have > 0, digest, pace)
	if err != nil {
		return info, err
	}
	w.bypass() // to copy it into the cache would be most of a follower's work, and few of it are read soon
	again := io.NewSectionReader(w.file, there.Known, there.Have-there.Known)
	dataErr, err := w.copy(ctx, io.MultiReader(again, io.LimitReader(data, info.Bytes-there.Have)), info.Bytes-there.Known)
	if err = w.close(err); err == nil {
		err = f.syncDir()
	}
	switch {
	case err != nil:
		return info, err
	case w.at < info.Bytes:
		if dataErr == nil {
			dataErr = io.ErrUnexpectedEOF
		}
		return info, fmt.Errorf("run: receive %s: %d of %d bytes: %w", f.Path(number), w.at, info.Bytes, dataErr)
	case w.digest.Sum64() != info.Checksum:
		return info, f.corrupt(number, 0, fmt.Errorf("the checksum of what was received is %016x, want %016x", w.digest.Sum64(), info.Checksum))
	}
	return info, nil
}

// digest returns the hash of the first bytes of a file.
func (f Files) digest(ctx context.Context, number uint32, bytes int64) (d xxhash.Digest, err error) {
	d.Reset()
	if bytes == 0 {
		return d, nil
	}
	file, err := f.open(number)
	if err != nil {
		return d, err
	}
	defer file.Close()
	b := make([]byte, min(bytes, pieceBytes))
	for at := int64(0); at < bytes; at += int64(len(b)) {
		b = b[:min(bytes-at, int64(len(b)))]
		if err := errors.Join(ctx.Err(), f.readAt(file, number, b, at)); err != nil {
			return d, err
		}
		d.Write(b)
	}
	return d, nil
}

// copy writes what it reads, which is so many bytes at most. An error of data is not one of the file.
func (w *writer) copy(ctx context.Context, data io.Reader, bytes int64) (dataErr, err error) {
	b := make([]byte, min(max(bytes, 0), pieceBytes-1)+1) // one more, to see the end with the last piece
	for dataErr == nil && err == nil {
		var n int
		n, dataErr = io.ReadFull(data, b)
		err = w.write(ctx, b[:n])
	}
	if errors.Is(dataErr, io.EOF) || errors.Is(dataErr, io.ErrUnexpectedEOF) {
		dataErr = nil
	}
	return dataErr, err
}

// Repair puts a file that was received in the place of a damaged one with the same checksum, so that
// all Refs stay good. It is the worker's.
func (h *History) Repair(file, received uint32) error {
	if h.failed != nil {
		return h.failed
	}
	err := h.files.Replace(file, received)
	h.open.forget(file)
	return h.fail(err)
}

// Replace puts a file that was received in the place of a damaged one, which no History has open.
func (f Files) Replace(file, received uint32) error {
	if err := f.FS.Rename(f.Path(received), f.Path(file)); err != nil {
		return fmt.Errorf("run: repair: %w", err)
	}
	return f.syncDir()
}
