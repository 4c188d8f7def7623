package run

import (
	"context"
	"errors"
	"fmt"
)

// errNotInMemory: a flush has sealed the run, and the manifest after it failed. The next one has it.
var errNotInMemory = errors.New("the run is no longer in memory")

// Restore writes a damaged file anew, of the run that is appended to: that is in memory. The file gets what is
// durable of the run, so that manifests stay true. It is the worker's.
func (h *History) Restore(ctx context.Context, file uint32, pace func(bytes int)) error {
	if h.failed != nil {
		return h.failed
	}
	r := h.lookup(file)
	if r == nil {
		return ErrGone
	}
	mem := r.mem.Load()
	if mem == nil || r.info.Sealed {
		return fmt.Errorf("run: restore %s: %w", h.files.Path(file), errNotInMemory)
	}
	to := r.info.mark()
	to.offset = uint32(headerSize + r.info.RecordBytes)
	made := newRun(h.NewFile(), r.header)
	info, _, _, err := h.files.write(ctx, made, mem, to, false, pace)
	if err == nil && info.Checksum != r.info.Checksum {
		err = h.files.corrupt(file, 0, errOther)
	}
	if err == nil {
		err = h.Repair(file, made.number)
	}
	if err != nil {
		return errors.Join(h.fail(err), h.files.Remove(made.number))
	}
	return nil
}
