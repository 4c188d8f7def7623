package memnet

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

var (
	_ rsm.Fetcher    = (*Endpoint)(nil)
	_ rsm.FileOpener = (*shelf)(nil)
)

// shelf is a server with one file.
type shelf struct {
	inbox
	file   io.Reader
	closed atomic.Int64
}

func (s *shelf) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	if string(name) != "run" || offset != 7 {
		return nil, fs.ErrNotExist
	}
	return s, nil
}

func (s *shelf) Read(b []byte) (int, error) { return s.file.Read(b) }

func (s *shelf) Close() error {
	s.closed.Add(1)
	return nil
}

// withShelf runs a test in which server 2 has a file.
func withShelf(t *testing.T, file io.Reader, f func(t *testing.T, c *cluster, s *shelf)) {
	run(t, func(t *testing.T, c *cluster) {
		s := &shelf{file: file}
		c.nodes[2].Stop()
		c.nodes[2] = c.Node(2)
		c.nodes[2].Start(s)
		f(t, c, s)
	})
}

// slowly yields one byte a millisecond, for ever.
type slowly struct{}

func (slowly) Read(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return copy(b, "x"), nil
}

func TestFileArrives(t *testing.T) {
	withShelf(t, io.LimitReader(slowly{}, 100), func(t *testing.T, c *cluster, s *shelf) {
		start := time.Now()
		file, err := c.nodes[1].Fetch(t.Context(), 2, []byte("run"), 7)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(file)
		if took := time.Since(start); len(b) != 100 || err != nil || took < 2*DefaultLatency || took > time.Second {
			t.Errorf("%d bytes after %v: %v", len(b), took, err)
		}
		file.Close()
		if synctest.Wait(); s.closed.Load() != 1 {
			t.Error("the file was not closed")
		}
		if got := c.Counts(); got.Bytes != 100 || got.Requests != 1 {
			t.Errorf("counted %+v", got)
		}
	})
}

func TestFetchIsRefused(t *testing.T) {
	withShelf(t, nil, func(t *testing.T, c *cluster, s *shelf) {
		for from, want := range map[raft.NodeID]error{1: nil, 2: fs.ErrNotExist, 3: nil, 9: ErrUnreachable} {
			_, err := c.nodes[1].Fetch(t.Context(), from, []byte("other"), 7)
			if err == nil || want != nil && !errors.Is(err, want) || want == nil && errors.Is(err, fs.ErrNotExist) {
				t.Errorf("from %s: %v, want %v", from, err, want)
			}
		}
		c.nodes[1].Stop()
		if _, err := c.nodes[1].Fetch(t.Context(), 2, []byte("run"), 7); err != ErrUnreachable {
			t.Errorf("by a server that was stopped: %v", err)
		}
	})
}

func TestFetchBreaksOff(t *testing.T) {
	cuts := map[string]struct {
		cut  func(*cluster, context.CancelFunc)
		want error
	}{
		"context ends":          {func(_ *cluster, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"fetching server stops": {func(c *cluster, _ context.CancelFunc) { c.nodes[1].Stop() }, context.Canceled},
		"serving server stops":  {func(c *cluster, _ context.CancelFunc) { c.nodes[2].Stop() }, io.ErrUnexpectedEOF},
		"partition begins":      {func(c *cluster, _ context.CancelFunc) { c.Partition([]raft.NodeID{1}) }, io.ErrUnexpectedEOF},
		"one way is cut":        {func(c *cluster, _ context.CancelFunc) { c.CutOneWay(2, 1) }, io.ErrUnexpectedEOF},
	}
	for what, tc := range cuts {
		t.Run(what, func(t *testing.T) {
			withShelf(t, slowly{}, func(t *testing.T, c *cluster, s *shelf) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				file, err := c.nodes[1].Fetch(ctx, 2, []byte("run"), 7)
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(100*time.Millisecond, func() { tc.cut(c, cancel) })
				if n, err := io.Copy(io.Discard, file); !errors.Is(err, tc.want) || n < 50 {
					t.Errorf("%v after %d bytes, want %v", err, n, tc.want)
				}
				file.Close()
				time.Sleep(10 * time.Millisecond) // for the present Read
				if s.closed.Load() != 1 {
					t.Error("the file was not closed")
				}
			})
		})
	}
}
