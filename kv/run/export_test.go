package run

import (
	"errors"
	"slices"
)

// UnflushedBytes is how much memory holds what no Flush has made durable.
func (h *History) UnflushedBytes() (bytes int64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, r := range h.mu.runs {
		if mem := r.mem.Load(); mem != nil && !r.info.Sealed {
			bytes += int64(mem.size) - r.info.Bytes
		}
	}
	return bytes
}

// Strays returns the numbers of the files that the history does not use: what a crash left, and what
// Receive has begun.
func (h *History) Strays() ([]uint32, error) {
	numbers, err := h.files.List()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(numbers, func(n uint32) bool { return h.lookup(n) != nil }), nil
}

// Remove forgets the old files and removes them. After an error it can be called again.
func (w *Rewritten) Remove() (err error) {
	w.Forget()
	for _, r := range w.old {
		err = errors.Join(err, w.h.files.Remove(r.number))
	}
	return err
}
