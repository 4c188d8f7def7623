package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

var (
	_ rsm.Fetcher    = (*Transport)(nil)
	_ rsm.FileOpener = library{}
)

// library is a node with files. A file is what its opener returns.
type library struct {
	*node
	open map[string]func(offset int64) (io.Reader, error)
	// closed gets the name of each file that is closed, if there is somebody to read it.
	closed chan string
}

func (l library) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	open := l.open[string(name)]
	if open == nil {
		return nil, fmt.Errorf("open %q: %w", name, fs.ErrNotExist)
	}
	r, err := open(offset)
	return book{r, l.closed, string(name)}, err
}

type book struct {
	io.Reader
	closed chan string
	name   string
}

func (b book) Close() error {
	select {
	case b.closed <- b.name:
	default:
	}
	return nil
}

// bytesOf opens a file that holds data.
func bytesOf(data []byte) func(int64) (io.Reader, error) {
	return func(offset int64) (io.Reader, error) { return bytes.NewReader(data[offset:]), nil }
}

// readerOf opens a file that is r.
func readerOf(r io.Reader) func(int64) (io.Reader, error) {
	return func(int64) (io.Reader, error) { return r, nil }
}

// library makes node id one with files.
func (w *pipeNet) library(id raft.NodeID) library {
	l := library{w.listening(id), map[string]func(int64) (io.Reader, error){}, make(chan string, 10)}
	l.Start(l)
	return l
}

func TestNamesOfFilesAreAsLongAsRsmSays(t *testing.T) {
	if fetchNameMax != rsm.MaxFileName {
		t.Errorf("%d bytes, want %d", fetchNameMax, rsm.MaxFileName)
	}
}

func TestFileArrivesWhole(t *testing.T) {
	for _, size := range []int{0, 1, chunkBytes, chunkBytes + 1, 10*chunkBytes + 3} {
		withPipeNet(t, func(t *testing.T, w *pipeNet) {
			a, b := w.up(1), w.library(2)
			data := bytes.Repeat([]byte("balsa"), size/5+1)[:size]
			b.open["run"] = bytesOf(data)
			for _, offset := range []int{0, size / 2, size} {
				file, err := a.Fetch(t.Context(), 2, []byte("run"), int64(offset))
				if err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(file, data[offset:]); err != nil {
					t.Errorf("%d bytes from %d: %v", size, offset, err)
				}
				if err := errors.Join(file.Close(), file.Close()); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if len(b.closed) != 1 || len(b.peer(1).serving) != 0 {
					t.Errorf("%d files closed, %d served", len(b.closed), len(b.peer(1).serving))
				}
				<-b.closed
			}
			if got := a.status(2).BytesIn; got < uint64(size) || got > uint64(2*size+size/1000+1000) {
				t.Errorf("%d bytes received of a file of %d, read one and a half times", got, size)
			}
		})
	}
}

// What is sent of files is read and written gently.
func TestFilesAreSentGently(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		gently, began := false, false
		b := library{w.listening(2, func(c *Config) {
			c.Gently = func(f func()) { gently = true; f(); gently = false }
		}), map[string]func(int64) (io.Reader, error){}, make(chan string, 1)}
		b.open["run"] = func(int64) (io.Reader, error) { began = gently; return strings.NewReader("balsa"), nil }
		b.Start(b)
		file, err := w.up(1).Fetch(t.Context(), 2, []byte("run"), 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); string(got) != "balsa" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		synctest.Wait()
		if !began || gently {
			t.Errorf("sent gently: %v; still: %v", began, gently)
		}
	})
}

func TestFetchIsRefused(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1)
		fetch := func(name string) error {
			file, err := a.Fetch(t.Context(), 2, []byte(name), 0)
			if err == nil {
				_, err = io.Copy(io.Discard, file)
				file.Close()
			}
			return err
		}
		is := func(what string, err, want error, text string) {
			t.Helper()
			if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), text) || errors.Is(err, fs.ErrNotExist) != (want == fs.ErrNotExist) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := fetch("run"); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("from an absent peer: %v", err)
		}
		b := w.listening(2, func(c *Config) { delete(c.Peers, 1) })
		is("from one who does not know us", fetch("run"), ErrRefused, "no member")
		b.AddPeer(1, "n1")
		is("from one who has not started", fetch("run"), ErrRefused, "not started")
		b.Start(b)
		is("from one who has no files", fetch("run"), ErrRefused, "no files")
		l := library{b, map[string]func(int64) (io.Reader, error){
			"bad":    func(int64) (io.Reader, error) { return nil, errors.New("no such disk") },
			"broken": readerOf(io.MultiReader(strings.NewReader("half"), &trickle{0, fs.ErrNotExist})),
		}, nil}
		b.Start(l)
		is("one that is not there", fetch("run"), fs.ErrNotExist, `open "run"`)
		time.Sleep(time.Second) // the log has one line a second
		is("one that cannot be opened", fetch("bad"), ErrRefused, "no such disk")
		is("one that cannot be read", fetch("broken"), ErrRefused, "read data to send")
		if !strings.Contains(b.logged(), "no such disk") {
			t.Errorf("logged: %s", b.logged())
		}
		a.RemovePeer(2)
		is("from a node that is no peer", fetch("run"), ErrUnknownPeer, "")
	})
}

func TestFetchBreaksOff(t *testing.T) {
	for name, tc := range map[string]struct {
		data io.Reader
		cut  func(a *node, b library, cancel func())
		want error
	}{
		"context ends":       {&trickle{1000, io.EOF}, func(_ *node, _ library, cancel func()) { cancel() }, context.Canceled},
		"transport closes":   {&trickle{1000, io.EOF}, func(a *node, _ library, _ func()) { a.Close() }, ErrClosed},
		"peer is removed":    {&trickle{1000, io.EOF}, func(a *node, _ library, _ func()) { a.RemovePeer(2) }, ErrClosed},
		"other side closes":  {&trickle{1000, io.EOF}, func(_ *node, b library, _ func()) { go b.Close() }, io.ErrUnexpectedEOF},
		"other side removes": {&trickle{1000, io.EOF}, func(_ *node, b library, _ func()) { b.RemovePeer(1) }, io.ErrUnexpectedEOF},
		"data ends early":    {&trickle{5, io.ErrUnexpectedEOF}, func(*node, library, func()) {}, ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				a, b := w.up(1), w.library(2)
				b.open["run"] = readerOf(tc.data)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(4500*time.Millisecond, func() { tc.cut(a, b, cancel) })
				file, err := a.Fetch(ctx, 2, []byte("run"), 0)
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				start := time.Now()
				if _, err := io.Copy(io.Discard, file); !errors.Is(err, tc.want) {
					t.Errorf("%v, want %v", err, tc.want)
				}
				if took := time.Since(start); took > 6*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestFetchesFromAPeerAreBounded(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.library(2)
		b.open["run"] = bytesOf(make([]byte, 10*chunkBytes))
		var files []io.ReadCloser
		for range maxFetches {
			file, err := a.Fetch(t.Context(), 2, []byte("run"), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			files = append(files, file)
		}
		if _, err := a.Fetch(t.Context(), 2, []byte("run"), 0); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		if _, err := io.Copy(io.Discard, files[0]); err != nil {
			t.Error(err)
		}
		files[0].Close()
		for range 3 * maxServedFetches { // also one that fails gives its place back
			if _, err := a.Fetch(t.Context(), 2, []byte("nothing"), 0); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after another was closed: %v", err)
			}
			synctest.Wait()
		}
	})
}

// fetchFrame asks for a file.
func fetchFrame(name string, offset uint64) []byte {
	return appendLayout(nil, frameFetch, func(c *coder) { c.fetchRequest(&fetchRequest{[]byte(name), offset}) })
}

// TestFetchesByAPeerAreBounded: whoever speaks for a peer may not open files without end.
func TestFetchesByAPeerAreBounded(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		b := w.library(2)
		b.open["run"] = bytesOf(make([]byte, 10*chunkBytes))
		ask := func() (*rawPeer, byte, []byte) {
			p := w.rawDial(b.node, 1, forFetch)
			c := p.keepAlive(t)
			go p.Write(fetchFrame("run", 0))
			kind, payload, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			return p, kind, payload
		}
		var served []*rawPeer
		for range maxServedFetches {
			p, kind, _ := ask()
			if kind != frameOpened {
				t.Fatalf("frame of kind %x", kind)
			}
			served = append(served, p)
		}
		if _, kind, payload := ask(); kind != frameFailed || !strings.Contains(string(payload), "served already") {
			t.Errorf("one too many: frame of kind %x, %q", kind, payload)
		}
		served[0].Close()
		synctest.Wait()
		if _, kind, _ := ask(); kind != frameOpened {
			t.Errorf("after another hung up: frame of kind %x", kind)
		}
	})
}

func TestBadFetchesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		wire []byte
		want string
	}{
		"another frame":  {appendFrame(nil, frameChunk, nil), "frame of kind"},
		"a message":      {appendMessageFrame(nil, offer), "frame of kind"},
		"cut short":      {appendFrame(nil, frameFetch, []byte{3, 'r'}), "truncated"},
		"bytes left":     {appendFrame(nil, frameFetch, []byte{1, 'r', 0, 0}), "left over"},
		"long name":      {fetchFrame(strings.Repeat("a", fetchNameMax+1), 0), "a name of 1025 bytes"},
		"longer name":    {fetchFrame(strings.Repeat("a", fetchFrameMax), 0), "at most 1088"},
		"huge offset":    {fetchFrame("run", 1<<63), "from offset 9223372036854775808"},
		"a flipped byte": {append(fetchFrame("run", 0)[:frameHeaderSize], "\x03rum\x00"...), "checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				b := w.library(2)
				b.open["run"] = bytesOf([]byte("data"))
				p := w.rawDial(b.node, 1, forFetch)
				go p.Write(tc.wire)
				kind, payload, err := p.keepAlive(t).read()
				if text := string(payload); err != nil || kind != frameFailed || !strings.Contains(text, "corrupt") || !strings.Contains(text, tc.want) {
					t.Errorf("frame of kind %x, %q, %v", kind, payload, err)
				}
			})
		})
	}
}

// TestCorruptFilesAreNotTakenForWhole: what arrives is not what was sent, or not all of it.
func TestCorruptFilesAreNotTakenForWhole(t *testing.T) {
	opened := appendFrame(nil, frameOpened, nil)
	chunk := appendFrame(nil, frameChunk, []byte("data"))
	end := func(length, crc uint64) []byte {
		return appendLayout(nil, frameEnd, func(c *coder) { c.streamEnd(&streamEnd{length, crc}) })
	}
	for name, wire := range map[string][][]byte{
		"not opened":      {chunk, end(7, 0x7f6bbcbf)},
		"opened twice":    {opened, opened},
		"wrong length":    {opened, chunk, end(4, 0x7f6bbcbf)},
		"wrong checksum":  {opened, chunk, end(7, 0)},
		"a chunk missing": {opened, end(7, 0x7f6bbcbf)},
		"bad end":         {opened, chunk, appendFrame(nil, frameEnd, nil)},
		"bad failure":     {opened, chunk, appendFrame(nil, frameFailed, nil)},
		"long chunk":      {opened, appendFrame(nil, frameChunk, make([]byte, streamFrameMax+1))},
		"flipped bit":     {opened, append(bytes.Clone(chunk[:len(chunk)-1]), 'A'), end(7, 0x7f6bbcbf)},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				l := w.listen("n2")
				a := w.up(1)
				w.rawAccept(l, 2) // for messages
				go func() {
					p := w.rawAccept(l, 2)
					c := p.keepAlive(t)
					c.read()
					p.Write(bytes.Join(wire, nil))
					c.read()
				}()
				file, err := a.Fetch(t.Context(), 2, []byte("run"), 3)
				if err == nil {
					_, err = io.Copy(io.Discard, file)
					file.Close()
				}
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// slow takes its time for each Read.
type slow struct {
	time.Duration
	n int
}

func (s *slow) Read(b []byte) (int, error) {
	time.Sleep(s.Duration)
	if s.n--; s.n < 0 {
		return 0, io.EOF
	}
	return len(b), nil
}

// TestFetchFromADiskThatHangsIsGivenUp: the connection works, so nothing else would end it.
func TestFetchFromADiskThatHangsIsGivenUp(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.library(2)
		b.open["read"] = readerOf(&slow{time.Hour, 1})
		b.open["open"] = func(int64) (io.Reader, error) { time.Sleep(time.Hour); return nil, errors.New("late") }
		for _, name := range []string{"read", "open"} {
			start := time.Now()
			file, err := a.Fetch(t.Context(), 2, []byte(name), 0)
			if err == nil {
				_, err = io.Copy(io.Discard, file)
				file.Close()
			}
			if took := time.Since(start); !errors.Is(err, io.ErrUnexpectedEOF) || took > diskReadMax+time.Second {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		}
		time.Sleep(2 * time.Hour)
		if n := len(b.peer(1).serving); n != 0 {
			t.Errorf("%d are served still", n)
		}
	})
}

// TestSlowDisksDoNotEndAFetch: neither of the two sides has to be fast.
func TestSlowDisksDoNotEndAFetch(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.library(2)
		b.open["run"] = readerOf(&slow{diskReadMax - time.Second, 10})
		file, err := a.Fetch(t.Context(), 2, []byte("run"), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for n := 0; ; {
			k, err := file.Read(make([]byte, chunkBytes))
			if n += k; err != nil {
				if err != io.EOF || n != 10*chunkBytes {
					t.Errorf("%v after %d bytes", err, n)
				}
				return
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestFetchOnAStuckNetworkIsGivenUp(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		l := w.listen("n2")
		a := library{w.listening(1), map[string]func(int64) (io.Reader, error){}, make(chan string, 1)}
		a.open["run"] = bytesOf(make([]byte, 10*chunkBytes))
		a.Start(a)
		w.rawAccept(l, 2) // for messages
		go func() {
			p := w.rawAccept(l, 2)
			go io.Copy(io.Discard, p)
			p.Write(appendFrame(nil, frameOpened, nil))
		}()
		file, err := a.Fetch(t.Context(), 2, []byte("run"), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		start := time.Now()
		if _, err := io.Copy(io.Discard, file); !isTimeout(err) || time.Since(start) > time.Minute {
			t.Errorf("node that fetches: %v after %v", err, time.Since(start))
		}

		p := w.rawDial(a.node, 2, forFetch)
		p.Write(fetchFrame("run", 0))
		start = time.Now()
		if name := <-a.closed; name != "run" || time.Since(start) > time.Minute {
			t.Errorf("node that serves: %s closed after %v", name, time.Since(start))
		}
	})
}

// fetchNodes are two nodes on TCP. The second one has the file run, of so many bytes.
func fetchNodes(t testing.TB, size int) *Transport {
	listeners, peers := map[raft.NodeID]net.Listener{}, map[raft.NodeID]string{}
	for _, id := range []raft.NodeID{1, 2} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[id], peers[id] = l, l.Addr().String()
	}
	nodes := map[raft.NodeID]*Transport{}
	for id := range peers {
		n, err := New(Config{ID: id, Listener: listeners[id], Peers: peers, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Close)
		nodes[id] = n
	}
	files := map[string]func(int64) (io.Reader, error){"run": bytesOf(make([]byte, size))}
	nodes[2].Start(library{node: &node{Transport: nodes[2]}, open: files})
	return nodes[1]
}

// TestFileWhoseReaderPausesArrivesWhole: the node that has sent the end does not close before
// that has arrived. What a closed socket gets makes the kernel drop what it has not sent yet.
func TestFileWhoseReaderPausesArrivesWhole(t *testing.T) {
	const size = 1 << 20
	file, err := fetchNodes(t, size).Fetch(t.Context(), 2, []byte("run"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	time.Sleep(3 * keepaliveInterval)
	if n, err := io.Copy(io.Discard, file); n != size || err != nil {
		t.Errorf("%d bytes arrive, want %d: %v", n, size, err)
	}
}

func BenchmarkFetch(b *testing.B) {
	const size = 32 << 20
	a := fetchNodes(b, size)
	b.SetBytes(size)
	for b.Loop() {
		file, err := a.Fetch(b.Context(), 2, []byte("run"), 0)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, file); n != size || err != nil {
			b.Fatal(n, err)
		}
		file.Close()
	}
}
