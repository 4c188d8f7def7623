package run

import (
	"fmt"
)

// Extends tells whether a run goes on where an earlier Info of it, which need not be this member's,
// has ended. Records are the same at all members, so only a checksum of the whole can deny it.
func (i Info) Extends(earlier Info) bool {
	return !earlier.Sealed && !i.Rewritten && i.First == earlier.First && i.ChainBefore == earlier.ChainBefore &&
		i.RecordBytes >= earlier.RecordBytes
}

// Adopt takes over a file of this history that Extend has written behind its back: info describes
// what is durable of it now. The records are those that were appended up to a mark, else the error says how
// they differ, and the history must not be flushed. Without it Flush would write over what a
// manifest counts on. It is the worker's.
func (h *History) Adopt(info Info, to Mark) error {
	r := h.lookup(info.File)
	if r == nil || r.info.Sealed || info.Bytes <= r.info.Bytes {
		return nil
	}
	end := headerSize + info.RecordBytes
	if int64(r.complete.Load()) < end {
		return h.files.corrupt(info.File, end, fmt.Errorf("%w: more than were appended", errOther))
	}
	mem, digest := r.mem.Load(), r.digest
	for _, b := range mem.pieces(uint32(r.info.Bytes), uint32(end)) {
		digest.Write(b)
	}
	if info.Sealed {
		h.mu.RLock()
		ended := r.end
		h.mu.RUnlock()
		if ended == nil && int64(to.offset) >= h.opts.RunBytes { // the next record, which is still to come, begins a run
			ended = &to
		}
		if ended == nil || int64(ended.offset) != end {
			return h.files.corrupt(info.File, end, fmt.Errorf("%w: the run ends elsewhere", errOther))
		}
		b, err := r.footer(mem, *ended, nil)
		if err != nil {
			return err
		}
		digest.Write(b)
	}
	if digest.Sum64() != info.Checksum {
		return h.files.corrupt(info.File, r.info.Bytes, errOther)
	}
	h.mu.Lock()
	r.info, r.digest = info, digest
	h.mu.Unlock()
	return nil
}
