package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// neighbourCommand is how this program starts itself as a neighbour: a plain program, which has nothing of balsa, that takes
// of the machine what servers need for the same work at least. It makes its files in a folder, prints a line when it is
// ready, works for as long as its input is open, and so ends with whoever started it.
const neighbourCommand = "neighbour"

const (
	fileBytes   = 64 << 20 // as files of the history have
	copiedPiece = 1 << 20  // bytes that are copied and synced at a time
	// What works for a millisecond and rests eight times as long does this much, each so often.
	sharePiece = 256 << 10
	shareWork  = time.Millisecond
	shareEvery = 9 * time.Millisecond
)

// neighbours are what a neighbour can do until the end of its input.
var neighbours = map[string]func(dir string, ready func(), ended func() bool) error{
	"copy-200": func(dir string, ready func(), ended func() bool) error { return copyFiles(dir, 200e6, ready, ended) },
	"copy-100": func(dir string, ready func(), ended func() bool) error { return copyFiles(dir, 100e6, ready, ended) },
	"write":    writeFiles,
	"compute":  compute,
}

// beNeighbour does what a neighbour is called for: its kind, and the folder for its files.
func beNeighbour(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 2 || neighbours[args[0]] == nil {
		return errors.New("a neighbour wants its kind, and a folder")
	}
	end := make(chan struct{})
	ready := func() {
		fmt.Fprintln(stdout, "ready")
		go func() {
			defer close(end)
			_, _ = io.Copy(io.Discard, stdin)
		}()
	}
	ended := func() bool {
		select {
		case <-end:
			return true
		default:
			return false
		}
	}
	return neighbours[args[0]](args[1], ready, ended)
}

// copyFiles reads a file again and again, sends it over loopback, and writes what arrives to others, so many bytes in a second.
func copyFiles(dir string, perSecond float64, ready func(), ended func() bool) error {
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, []byte(strings.Repeat("balsa ", fileBytes/6)), 0o644); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	received := make(chan error, 1)
	go func() { received <- receive(listener, dir) }()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	ready()
	err = send(c, from, perSecond, ended)
	return errors.Join(err, c.Close(), <-received)
}

// send sends a file again and again.
func send(to io.Writer, name string, perSecond float64, ended func() bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	piece := make([]byte, copiedPiece)
	for began, sent := time.Now(), 0.0; !ended(); {
		n, err := io.ReadFull(f, piece)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			return err
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return err
		}
		sent += float64(n)
		time.Sleep(time.Duration(sent/perSecond*float64(time.Second)) - time.Since(began))
	}
	return nil
}

// receive writes what comes to files.
func receive(from net.Listener, dir string) error {
	c, err := from.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	w := files{dir: dir}
	defer w.close()
	for piece := make([]byte, copiedPiece); ; {
		n, err := io.ReadFull(c, piece)
		if n > 0 {
			if err := w.write(piece[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// files are written one after the other.
type files struct {
	dir  string
	n    int
	left int // bytes of the last one
	file *os.File
}

// write writes a piece, and syncs it.
func (w *files) write(piece []byte) (err error) {
	if w.left <= 0 {
		w.close()
		if w.file, err = os.Create(filepath.Join(w.dir, fmt.Sprint(w.n))); err != nil {
			return err
		}
		w.n, w.left = w.n+1, fileBytes
	}
	w.left -= len(piece)
	_, err = w.file.Write(piece)
	return errors.Join(err, w.file.Sync())
}

func (w *files) close() {
	if w.file != nil {
		_ = w.file.Close()
	}
}

// writeFiles writes what a checkpoint or a rewrite writes that rests.
func writeFiles(dir string, ready func(), ended func() bool) error {
	w := files{dir: dir}
	defer w.close()
	piece := []byte(strings.Repeat("balsa ", sharePiece/6))
	ready()
	for !ended() {
		began := time.Now()
		if err := w.write(piece); err != nil {
			return err
		}
		time.Sleep(shareEvery - time.Since(began))
	}
	return nil
}

// compute takes a ninth of a processor.
func compute(_ string, ready func(), ended func() bool) error {
	ready()
	for !ended() {
		began := time.Now()
		for time.Since(began) < shareWork {
		}
		time.Sleep(shareEvery - time.Since(began))
	}
	return nil
}
