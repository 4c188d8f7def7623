package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// fetcher is the rsm.Fetcher of a node's machine.
type fetcher struct{ n *node }

// Fetch implements rsm.Fetcher. It takes no time: the work that fetches, which is ReceiveState
// mostly, is done at once when its time is over.
func (f fetcher) Fetch(_ context.Context, from raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	w := f.n.w
	data, err := w.net.fetch(f.n.id, from, name, offset)
	w.trace.text(w.now, f.n.id, "fetch", "%q of %s from %d: %d bytes, %v", name, from, offset, len(data), err)
	if data == nil && err != nil {
		return nil, err
	}
	w.check.counts.Fetched++
	f.n.fetched = f.n.fetched || len(data) > 0
	if offset > 0 {
		w.check.counts.FetchedOn++
	}
	if err == nil {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	w.check.counts.FetchedInPart++
	return io.NopCloser(io.MultiReader(bytes.NewReader(data), failing{err})), nil
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// fetch reads a file of the machine of another node, as both nodes and the links between them
// are at this moment. With an error, data is the part that arrived before it; nil if the file was
// not opened. Data is never wrong: the checksums of a transport see to that.
func (t *network) fetch(by, from raft.NodeID, name []byte, offset int64) (data []byte, err error) {
	w := t.w
	if from == raft.None || int(from) > len(w.nodes) || len(name) > rsm.MaxFileName || offset < 0 {
		return nil, fmt.Errorf("fetch %q of %s from %d", name, from, offset)
	}
	to := w.node(from)
	opener, ok := to.machine.(rsm.FileOpener)
	switch {
	case !to.up() || to.paused || !t.connected(by, from) || !t.connected(from, by) || w.chance(w.mix.Loss):
		return nil, errStream
	case to.hungUntil > w.now && !w.mix.StateDisk:
		return nil, errStream
	case !ok:
		return nil, errors.New("the machine has no files")
	}
	file, err := opener.OpenFile(name, offset)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, errors.New(err.Error()) // only text travels
	}
	defer file.Close()
	data, err = io.ReadAll(file)
	switch {
	case err != nil:
		return data, errors.New(err.Error())
	case !w.healed && w.chance(fetchBreaks+w.mix.Loss):
		return data[:w.rand.IntN(len(data)+1)], errStream
	}
	return data, nil
}

// fetchBreaks is the share of fetches that break off, besides those that the mix loses.
const fetchBreaks = 0.1
