package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"testing/iotest"
	"time"

	"balsa.example/raft"

	"pgregory.net/rapid"
)

// script is a connection from which a given input is read.
type script struct {
	net.Conn
	io.Reader
}

func (s script) Read(b []byte) (int, error)        { return s.Reader.Read(b) }
func (s script) SetReadDeadline(t time.Time) error { return nil }

func framesOf(r io.Reader, maxPayload int) *frameReader {
	return newFrameReader(script{Reader: r}, maxPayload)
}

func TestFramesCarryMessagesOfAllSizes(t *testing.T) {
	ms := examples()
	for _, size := range []int{1, readBuffer - 40, readBuffer, readBuffer + 1, readAhead, 2*readAhead + 5} {
		ms = append(ms, benchmarkAppend(1, size), &raft.TimeoutNow{}, &raft.Propose{Data: benchmarkAppend(1, size).Entries[0].Data}, &raft.TimeoutNow{})
	}
	var wire []byte
	for _, m := range ms {
		wire = appendMessageFrame(wire, m)
	}
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(wire), "halves": iotest.HalfReader(bytes.NewReader(wire)), "late end": iotest.DataErrReader(bytes.NewReader(wire)),
	} {
		t.Run(name, func(t *testing.T) {
			f := framesOf(r, 1<<30)
			var got []raft.Message
			for {
				kind, payload, err := f.read()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				m, err := raft.DecodeMessage(raft.MessageKind(kind), payload)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m)
			}
			// Compared at the end: entries alias frames, which must not be reused.
			if !reflect.DeepEqual(got, ms) {
				t.Errorf("got %d messages of %d, or others", len(got), len(ms))
			}
		})
	}
}

func TestAnyFlippedBitIsFound(t *testing.T) {
	wire := appendMessageFrame(nil, benchmarkAppend(2, 10))
	wire = appendFrame(wire, frameChunk, []byte("chunk"))
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Clone(wire)
		bit := rapid.IntRange(0, len(b)*8-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		f := framesOf(bytes.NewReader(b), 1<<20)
		for range 2 {
			_, _, err := f.read()
			if errors.Is(err, ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
				return // longer than the input, or a checksum
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("not found")
	})
}

func TestFrameEndsAreTold(t *testing.T) {
	wire := appendMessageFrame(nil, benchmarkAppend(1, 100))
	for n := range wire {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, _, err := framesOf(bytes.NewReader(wire[:n]), 1<<20).read(); err != want {
			t.Errorf("after %d bytes of %d: %v", n, len(wire), err)
		}
	}
}

func TestLongFrameIsRefusedBeforeItIsRead(t *testing.T) {
	wire := appendFrame(nil, 1, make([]byte, 101))
	if _, _, err := framesOf(bytes.NewReader(wire[:frameHeaderSize]), 100).read(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if _, _, err := framesOf(bytes.NewReader(wire), 101).read(); err != nil {
		t.Errorf("the longest frame allowed: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	var all []byte
	for _, m := range examples() {
		all = appendMessageFrame(all, m)
	}
	f.Add(all)
	f.Add(appendFrame(nil, frameEnd, []byte{1, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := framesOf(bytes.NewReader(b), 1<<20)
		for {
			kind, payload, err := r.read()
			if err != nil {
				return
			}
			raft.DecodeMessage(raft.MessageKind(kind), payload)
		}
	})
}

func BenchmarkFrameEncode(b *testing.B) { benchmarkFrames(b, encodeFrames) }
func BenchmarkFrameDecode(b *testing.B) { benchmarkFrames(b, decodeFrames) }

func benchmarkFrames(b *testing.B, run func(*testing.B, raft.Message)) {
	b.Run("reply", func(b *testing.B) { run(b, examples()[5]) })
	b.Run("heartbeat", func(b *testing.B) { run(b, benchmarkAppend(0, 0)) })
	b.Run("1x256B", func(b *testing.B) { run(b, benchmarkAppend(1, 256)) })
	b.Run("64x256B", func(b *testing.B) { run(b, benchmarkAppend(64, 256)) })
	b.Run("1x1MiB", func(b *testing.B) { run(b, benchmarkAppend(1, 1<<20)) })
}

func encodeFrames(b *testing.B, m raft.Message) {
	buf := appendMessageFrame(nil, m)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = appendMessageFrame(buf[:0], m)
	}
}

func decodeFrames(b *testing.B, m raft.Message) {
	wire := appendMessageFrame(nil, m)
	f := framesOf(&again{b: wire}, 1<<30)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		kind, payload, err := f.read()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := raft.DecodeMessage(raft.MessageKind(kind), payload); err != nil {
			b.Fatal(err)
		}
	}
}

// again reads b for ever.
type again struct {
	b  []byte
	at int
}

func (r *again) Read(p []byte) (int, error) {
	n := copy(p, r.b[r.at:])
	r.at = (r.at + n) % len(r.b)
	return n, nil
}
