package rsmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// This file is the checks of a Transport that is an rsm.Fetcher.

// OpenFile makes a receiver an rsm.FileOpener.
func (r *receiver) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	r.mu.Lock()
	open := r.files[string(name)]
	r.mu.Unlock()
	if open == nil {
		return nil, fmt.Errorf("file %q: %w", name, fs.ErrNotExist)
	}
	return open(offset)
}

// serves gives a receiver a file.
func (r *receiver) serves(name string, open func(offset int64) (io.ReadCloser, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files == nil {
		r.files = map[string]func(int64) (io.ReadCloser, error){}
	}
	r.files[name] = open
}

// fetcher returns the endpoint that fetches, when it is connected. A Transport that is no
// Fetcher skips the check.
func (n *network) fetcher() rsm.Fetcher {
	n.Helper()
	f, ok := n.ends[1].Transport.(rsm.Fetcher)
	if !ok {
		n.Skip("the Transport is no rsm.Fetcher")
	}
	n.connect()
	return f
}

// fetch reads a file whole.
func (n *network) fetch(f rsm.Fetcher, name string, offset int64) ([]byte, error) {
	n.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	file, err := f.Fetch(ctx, 2, []byte(name), offset)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(file)
		file.Close()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		n.Fatalf("a fetch of %q does not end", name)
	}
	return b, err
}

func (n *network) file() {
	f := n.fetcher()
	for i, size := range []int{0, 1, 5 << 20} {
		data := bytes.Repeat([]byte{byte(i), 2, 3, 4, 5}, size/5+min(size, 1))
		name := strings.Repeat("\x00", rsm.MaxFileName-1) + string(rune('a'+i))
		n.at[2].serves(name, func(offset int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data[offset:])), nil
		})
		for _, offset := range []int{0, len(data) / 2, len(data)} {
			got, err := n.fetch(f, name, int64(offset))
			if err != nil || !bytes.Equal(got, data[offset:]) {
				n.Errorf("%d bytes arrive of a file of %d from offset %d: %v", len(got), len(data), offset, err)
			}
		}
	}
}

// fileBroken: a file that cannot be read to its end is not taken for a shorter one, nor is one
// whose member has gone.
func (n *network) fileBroken() {
	f := n.fetcher()
	for _, broken := range []error{errors.New("cannot read it"), io.ErrUnexpectedEOF, fs.ErrNotExist} {
		n.at[2].serves("broken", func(int64) (io.ReadCloser, error) {
			return io.NopCloser(brokenReader{bytes.NewReader(make([]byte, 1<<20)), broken}), nil
		})
		if got, err := n.fetch(f, "broken", 0); err == nil {
			n.Errorf("%d bytes of a file that broke off with %q are taken for all of it", len(got), broken)
		}
	}
	file, _ := n.openEndless(context.Background(), f)
	defer file.Close()
	closed := make(chan struct{})
	go func() { n.ends[2].Close(); close(closed) }()
	if _, err := io.Copy(io.Discard, file); err == nil {
		n.Error("a file is taken for whole whose member has gone")
	}
	<-closed
	n.ends[2] = Endpoint{Close: func() {}}
}

func (n *network) fileMissing() {
	f := n.fetcher()
	if _, err := n.fetch(f, "nothing", 0); !errors.Is(err, fs.ErrNotExist) {
		n.Errorf("a file that is not there: %v, want fs.ErrNotExist", err)
	}
	n.at[2].serves("unreadable", func(int64) (io.ReadCloser, error) { return nil, errors.New("the disk has failed") })
	if _, err := n.fetch(f, "unreadable", 0); err == nil || errors.Is(err, fs.ErrNotExist) {
		n.Errorf("a file that cannot be opened: %v, want another error than fs.ErrNotExist", err)
	}
}

func (n *network) noFiles() {
	f := n.fetcher()
	n.send(&raft.ReadIndex{Header: raft.Header{From: 1, To: 3, Term: 1}})
	n.ends[2].Close()
	n.ends[2] = Endpoint{Close: func() {}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, from := range []raft.NodeID{2, 3, 99} {
		if _, err := f.Fetch(ctx, from, []byte("a"), 0); err == nil || errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			n.Errorf("from %s: %v, want another error than fs.ErrNotExist", from, err)
		}
	}
}

func (n *network) longName() {
	f := n.fetcher()
	if _, err := n.fetch(f, strings.Repeat("a", rsm.MaxFileName+1), 0); err == nil || errors.Is(err, fs.ErrNotExist) {
		n.Errorf("a name that is too long: %v", err)
	}
	if _, err := n.fetch(f, "a", -1); err == nil || errors.Is(err, fs.ErrNotExist) {
		n.Errorf("an offset below 0: %v", err)
	}
}

// endless is a file without end. Closed is closed with it.
type endless struct{ closed chan struct{} }

func (e endless) Read(b []byte) (int, error) { return len(b), nil }

func (e endless) Close() error {
	close(e.closed)
	return nil
}

// openEndless fetches a file without end, and tells when the other side has closed it.
func (n *network) openEndless(ctx context.Context, f rsm.Fetcher) (file io.ReadCloser, closed <-chan struct{}) {
	n.Helper()
	e := endless{make(chan struct{})}
	n.at[2].serves("endless", func(int64) (io.ReadCloser, error) { return e, nil })
	file, err := f.Fetch(ctx, 2, []byte("endless"), 0)
	if err != nil {
		n.Fatal(err)
	}
	if _, err := io.ReadFull(file, make([]byte, 1<<20)); err != nil {
		n.Fatal(err)
	}
	return file, e.closed
}

func (n *network) awaitClosed(closed <-chan struct{}) {
	n.Helper()
	select {
	case <-closed:
	case <-time.After(patience):
		n.Fatal("the other member keeps a file open whose fetch has ended")
	}
}

func (n *network) fetchCancelled() {
	f := n.fetcher()
	ctx, cancel := context.WithCancel(context.Background())
	file, closed := n.openEndless(ctx, f)
	defer file.Close()
	cancel()
	if _, err := io.Copy(io.Discard, file); err == nil {
		n.Error("a file whose context has ended is taken for whole")
	}
	n.awaitClosed(closed)
}

func (n *network) fetchClosed() {
	f := n.fetcher()
	for range 10 {
		file, closed := n.openEndless(context.Background(), f)
		file.Close()
		n.awaitClosed(closed)
	}
}

func (n *network) twoFetches() {
	f := n.fetcher()
	one, _ := n.openEndless(context.Background(), f)
	defer one.Close()
	two, _ := n.openEndless(context.Background(), f)
	defer two.Close()
	for range 10 {
		for _, file := range []io.Reader{one, two} {
			if _, err := io.ReadFull(file, make([]byte, 1<<20)); err != nil {
				n.Fatal(err)
			}
		}
	}
}

// messagesBesideFetch: files are read for minutes, and heartbeats may not wait for them.
func (n *network) messagesBesideFetch() {
	f := n.fetcher()
	file, _ := n.openEndless(context.Background(), f)
	defer file.Close()
	for term := range raft.Term(20) {
		n.send(&raft.ReadIndexReply{Header: raft.Header{From: 1, To: 2, Term: term + 1}})
		n.send(&raft.ReadIndexReply{Header: raft.Header{From: 2, To: 1, Term: term + 1}})
	}
}
