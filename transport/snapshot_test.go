package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"balsa.example/raft"
)

var offer = &raft.InstallSnapshot{Header: raft.Header{From: 1, To: 2, Term: 3}, Meta: raft.SnapshotMeta{
	Index: 7, Term: 3, Configuration: raft.NewConfiguration(1, 2, 3),
}}

// storing returns a receiver of snapshots that tells what it got.
func storing(err error) (func(*raft.InstallSnapshot, io.Reader) error, <-chan []byte) {
	stored := make(chan []byte, 10)
	return func(m *raft.InstallSnapshot, data io.Reader) error {
		b, readErr := io.ReadAll(data)
		if readErr != nil {
			return readErr
		}
		stored <- b
		return err
	}, stored
}

func TestSnapshotArrivesWhole(t *testing.T) {
	for _, size := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 10*chunkBytes + 3} {
		withPipeNet(t, func(t *testing.T, w *pipeNet) {
			a, b := w.up(1), w.listening(2)
			image := bytes.Repeat([]byte("balsa"), size/5+1)[:size]
			b.snapshot = func(m *raft.InstallSnapshot, data io.Reader) error {
				if m.String() != offer.String() || !m.Meta.Configuration.Equal(offer.Meta.Configuration) {
					t.Errorf("got %v", m)
				}
				return iotest.TestReader(data, image)
			}
			b.Start(b)
			if err := a.SendSnapshot(t.Context(), offer, iotest.HalfReader(bytes.NewReader(image))); err != nil {
				t.Fatal(err)
			}
			if got := a.status(2).BytesOut; got < uint64(size) || got > uint64(size+size/1000+100) {
				t.Errorf("%d bytes sent for %d", got, size)
			}
		})
	}
}

// Both sides are told when a snapshot begins, and how it ended.
func TestSnapshotsAreTold(t *testing.T) {
	full := errors.New("disk full")
	for _, failure := range []error{nil, full} {
		withPipeNet(t, func(t *testing.T, w *pipeNet) {
			var told [2]int
			tell := func(node int) func(*Config) {
				return func(c *Config) {
					c.OnSnapshot = func(peer raft.NodeID, sent bool) func(error) {
						if sent != (node == 0) || peer != raft.NodeID(2-node) {
							t.Errorf("node %d: %s, sent %t", node, peer, sent)
						}
						return func(err error) {
							told[node]++
							if (err == nil) != (failure == nil) {
								t.Errorf("node %d: %v", node, err)
							}
						}
					}
				}
			}
			a, b := w.up(1, tell(0)), w.listening(2, tell(1))
			b.snapshot, _ = storing(failure)
			b.Start(b)
			if err := a.SendSnapshot(t.Context(), offer, strings.NewReader("image")); (err == nil) != (failure == nil) {
				t.Error(err)
			}
			synctest.Wait()
			if told != [2]int{1, 1} {
				t.Errorf("told %v", told)
			}
		})
	}
}

func TestSnapshotIsRefused(t *testing.T) {
	full := errors.New("disk full")
	for name, tc := range map[string]struct {
		receive func(*raft.InstallSnapshot, io.Reader) error
		size    int
	}{
		"at once":      {func(*raft.InstallSnapshot, io.Reader) error { return full }, 100 * chunkBytes},
		"in the midst": {func(_ *raft.InstallSnapshot, r io.Reader) error { io.CopyN(io.Discard, r, 1e6); return full }, 100 * chunkBytes},
		"at the end":   {func(_ *raft.InstallSnapshot, r io.Reader) error { io.Copy(io.Discard, r); return full }, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				a, b := w.up(1), w.listening(2)
				b.snapshot = tc.receive
				b.Start(b)
				err := a.SendSnapshot(t.Context(), offer, bytes.NewReader(make([]byte, tc.size)))
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "disk full") {
					t.Errorf("got %v", err)
				}
				if !strings.Contains(b.logged(), "disk full") {
					t.Errorf("logged: %s", b.logged())
				}
				var stored <-chan []byte
				b.snapshot, stored = storing(nil)
				if err := a.SendSnapshot(t.Context(), offer, strings.NewReader("again")); err != nil || string(<-stored) != "again" {
					t.Errorf("the next one: %v", err)
				}
			})
		})
	}
}

func TestSnapshotCannotBeSent(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1)
		send := func() error { return a.SendSnapshot(t.Context(), offer, strings.NewReader("x")) }
		if err := send(); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("to an absent peer: %v", err)
		}
		b := w.listening(2, func(c *Config) { delete(c.Peers, 1) })
		if err := send(); !errors.Is(err, ErrRefused) {
			t.Errorf("to one who does not know us: %v", err)
		}
		b.AddPeer(1, "n1")
		if err := send(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not started") {
			t.Errorf("to one who has not started: %v", err)
		}
		a.RemovePeer(2)
		if err := send(); !errors.Is(err, ErrUnknownPeer) {
			t.Errorf("to a node that is no peer: %v", err)
		}
	})
}

// trickle yields one byte a second, n times, and then ends with err.
type trickle struct {
	n   int
	err error
}

func (r *trickle) Read(b []byte) (int, error) {
	if r.n == 0 {
		return 0, r.err
	}
	r.n--
	time.Sleep(time.Second)
	return copy(b, "x"), nil
}

func TestSnapshotCutShortIsNoEnd(t *testing.T) {
	broken := errors.New("bad sector")
	for name, tc := range map[string]struct {
		data io.Reader
		cut  func(a, b *node, cancel func())
		want error
	}{
		"context ends":    {&trickle{100, io.EOF}, func(_, _ *node, cancel func()) { cancel() }, context.Canceled},
		"sender closes":   {&trickle{100, io.EOF}, func(a, _ *node, _ func()) { a.Close() }, ErrClosed},
		"receiver closes": {&trickle{100, io.EOF}, func(_, b *node, _ func()) { b.Close() }, io.ErrUnexpectedEOF},
		"peer is removed": {&trickle{100, io.EOF}, func(a, _ *node, _ func()) { a.RemovePeer(2) }, ErrClosed},
		"data fails":      {&trickle{5, broken}, func(_, _ *node, _ func()) {}, broken},
		"data ends early": {&trickle{5, io.ErrUnexpectedEOF}, func(_, _ *node, _ func()) {}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				a, b := w.up(1), w.listening(2)
				received := make(chan error, 1)
				b.snapshot = func(_ *raft.InstallSnapshot, r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					received <- err
					return err
				}
				b.Start(b)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(4500*time.Millisecond, func() { tc.cut(a, b, cancel) })
				if err := a.SendSnapshot(ctx, offer, tc.data); !errors.Is(err, tc.want) {
					t.Errorf("sender: %v, want %v", err, tc.want)
				}
				if err := <-received; name != "receiver closes" && !errors.Is(err, io.ErrUnexpectedEOF) || err == nil {
					t.Errorf("receiver: %v", err)
				}
			})
		})
	}
}

func TestSlowReceiverIsWaitedFor(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.listening(2)
		b.snapshot = func(_ *raft.InstallSnapshot, r io.Reader) error {
			io.Copy(io.Discard, r)
			time.Sleep(time.Hour) // a very slow fsync
			return nil
		}
		b.Start(b)
		if err := a.SendSnapshot(t.Context(), offer, strings.NewReader("x")); err != nil {
			t.Error(err)
		}
	})
}

func TestStuckSnapshotIsGivenUp(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		l := w.listen("n2")
		a := w.up(1)
		w.rawAccept(l, 2) // for messages
		done := make(chan error)
		start := time.Now()
		go func() { done <- a.SendSnapshot(t.Context(), offer, bytes.NewReader(make([]byte, 1e6))) }()
		p := w.rawAccept(l, 2)
		io.CopyN(io.Discard, p, 1000)
		if err := <-done; err == nil || time.Since(start) > time.Minute {
			t.Errorf("sender: %v after %v", err, time.Since(start))
		}

		received := make(chan error, 1)
		a.snapshot = func(_ *raft.InstallSnapshot, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			received <- err
			return err
		}
		p = w.rawDial(a, 2, forSnapshot)
		defer p.Close()
		go io.Copy(io.Discard, p)
		p.Write(appendMessageFrame(nil, &raft.InstallSnapshot{Header: raft.Header{From: 2, To: 1}}))
		start = time.Now()
		if err := <-received; !isTimeout(err) || time.Since(start) > time.Minute {
			t.Errorf("receiver: %v after %v", err, time.Since(start))
		}
	})
}

func TestOneSnapshotToAPeerAtATime(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.listening(2)
		b.snapshot, _ = storing(nil)
		b.Start(b)
		first := make(chan error)
		go func() { first <- a.SendSnapshot(t.Context(), offer, &trickle{5, io.EOF}) }()
		synctest.Wait()
		if err := a.SendSnapshot(t.Context(), offer, strings.NewReader("x")); !errors.Is(err, ErrBusy) {
			t.Errorf("second: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("first: %v", err)
		}
		if err := a.SendSnapshot(t.Context(), offer, strings.NewReader("x")); err != nil {
			t.Errorf("third: %v", err)
		}
	})
}

func TestNewSnapshotSupersedesAnAbandonedOne(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		b := w.listening(2)
		var stored <-chan []byte
		b.snapshot, stored = storing(nil)
		b.Start(b)
		abandoned := w.rawDial(b, 1, forSnapshot)
		defer abandoned.Close()
		go io.Copy(io.Discard, abandoned)
		abandoned.Write(appendMessageFrame(nil, offer))
		synctest.Wait()
		a := w.up(1)
		start := time.Now()
		if err := a.SendSnapshot(t.Context(), offer, strings.NewReader("new")); err != nil || string(<-stored) != "new" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestSupersededSnapshotsDoNotWait: while one is stored for long, whoever speaks for its
// sender may begin others, but only the last of them waits.
func TestSupersededSnapshotsDoNotWait(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		b := w.listening(2)
		release := make(chan struct{})
		b.snapshot = func(*raft.InstallSnapshot, io.Reader) error { <-release; return nil }
		b.Start(b)
		first := w.rawDial(b, 1, forSnapshot)
		go io.Copy(io.Discard, first)
		first.Write(appendMessageFrame(nil, offer))
		synctest.Wait()
		before := runtime.NumGoroutine()
		for range 20 {
			defer w.rawDial(b, 1, forSnapshot).Close()
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 4 {
			t.Errorf("%d goroutines for snapshots that were superseded", n)
		}
		close(release)
		first.Close()
	})
}

func TestCorruptSnapshotsAreRefused(t *testing.T) {
	announce := appendMessageFrame(nil, offer)
	chunk := appendFrame(nil, frameChunk, []byte("data"))
	end := func(length, crc uint64) []byte {
		return appendLayout(nil, frameEnd, func(c *coder) { c.streamEnd(&streamEnd{length, crc}) })
	}
	stream := *offer
	stream.Stream = 7
	resumable := appendMessageFrame(nil, &stream)
	for name, wire := range map[string][][]byte{
		"no announcement":    {chunk},
		"other announcement": {appendMessageFrame(nil, &raft.TimeoutNow{Header: offer.Header})},
		"other sender":       {appendMessageFrame(nil, &raft.InstallSnapshot{Header: raft.Header{From: 3, To: 2}})},
		"two announcements":  {announce, announce},
		"wrong length":       {announce, chunk, end(5, 0x7f6bbcbf)},
		"wrong checksum":     {announce, chunk, end(4, 0)},
		"a chunk missing":    {announce, end(4, 0x7f6bbcbf)},
		"bad end":            {announce, chunk, appendFrame(nil, frameEnd, nil)},
		"no begin":           {resumable, chunk},
		"bad begin":          {resumable, appendFrame(nil, frameSnapshotBegin, nil)},
		"another begin":      {resumable, appendOffset(nil, frameSnapshotBegin, 1), chunk, end(5, 0x7f6bbcbf)},
		"a begin too many":   {announce, appendOffset(nil, frameSnapshotBegin, 0), chunk, end(4, 0x7f6bbcbf)},
		"flipped bit":        {announce, append(bytes.Clone(chunk[:len(chunk)-1]), 'A')},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				b := w.listening(2)
				var stored <-chan []byte
				b.snapshot, stored = storing(nil)
				b.Start(b)
				p := w.rawDial(b, 1, forSnapshot)
				defer p.Close()
				go p.Write(bytes.Join(wire, nil))
				err := awaitResult(p.keepAlive(t), make(chan uint64, 1))
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "corrupt") || len(stored) != 0 {
					t.Errorf("got %v, %d stored", err, len(stored))
				}
			})
		})
	}
}

// TestSnapshotFromADiskThatHangsIsGivenUp: the connection works, and the receiver must not wait for
// what may never come.
func TestSnapshotFromADiskThatHangsIsGivenUp(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.listening(2)
		waited := make(chan time.Duration, 1)
		b.snapshot = func(_ *raft.InstallSnapshot, data io.Reader) error {
			start := time.Now()
			_, err := io.Copy(io.Discard, data)
			waited <- time.Since(start)
			return err
		}
		b.Start(b)
		if err := a.SendSnapshot(t.Context(), offer, &slow{time.Hour, 1}); err == nil {
			t.Error("it was sent")
		}
		if took := <-waited; took > diskReadMax+time.Second {
			t.Errorf("the receiver waited for %v", took)
		}
	})
}
