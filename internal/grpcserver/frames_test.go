package grpcserver

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"
)

// cutReader returns at most as many bytes as next says.
type cutReader struct {
	b    []byte
	next func() int
}

func (r *cutReader) Read(b []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.b[:min(len(r.b), max(1, r.next()))])
	r.b = r.b[n:]
	return n, nil
}

// However a connection cuts the bytes, the frames are the same, and the buffer stays small.
func TestFramesAreTheSameHoweverTheyAreCut(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var all []byte
		var want []frame
		for range 1 + rng.IntN(40) {
			f := frame{kind: http2.FrameType(rng.IntN(12)), flags: http2.Flags(rng.IntN(256)), stream: rng.Uint32() >> 1}
			f.payload = pattern(rng.Int(), []int{0, rng.IntN(20), rng.IntN(3000), maxFrame}[rng.IntN(4)])
			all = append(appendFrame(all, f.kind, f.flags, f.stream|uint32(rng.IntN(2))<<31, len(f.payload)), f.payload...)
			want = append(want, f)
		}
		most := []int{1, 20, 5000, 1 << 20}[rng.IntN(4)]
		r := newFrameReader(&cutReader{all, func() int { return rng.IntN(most) }})
		for i, w := range want {
			f, err := r.next()
			if err != nil || f.kind != w.kind || f.flags != w.flags || f.stream != w.stream || !bytes.Equal(f.payload, w.payload) {
				t.Fatalf("seed %d: frame %d of %d is %v of stream %d, %d bytes, %v", seed, i, len(want), f.kind, f.stream, len(f.payload), err)
			}
			if len(r.buf) > maxReadBuffer {
				t.Fatalf("seed %d: the buffer has %d bytes", seed, len(r.buf))
			}
		}
		if _, err := r.next(); err != io.EOF {
			t.Fatalf("seed %d: %v after the last frame", seed, err)
		}
	}
}

func TestABufferGrowsOnlyWhileReadsFillIt(t *testing.T) {
	small := appendPing(nil, 0, make([]byte, 8))
	for _, test := range []struct {
		name             string
		frame            []byte
		perRead          int
		atLeast, atMost  int
		framesInOneInput int
	}{
		{"small frames, one by one", small, len(small), minReadBuffer, minReadBuffer, 1000},
		{"small frames, many at once", small, 1 << 20, maxReadBuffer, maxReadBuffer, 100_000},
		{"a large frame", appendFrame(nil, http2.FrameData, 0, 1, maxFrame), 100, frameHeader + maxFrame, 2 * (frameHeader + maxFrame), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := bytes.Repeat(test.frame, test.framesInOneInput)
			if len(test.frame) == frameHeader {
				in = append(in, make([]byte, maxFrame)...)
			}
			r := newFrameReader(&cutReader{in, func() int { return test.perRead }})
			for {
				if _, err := r.next(); err != nil {
					break
				}
			}
			if n := len(r.buf); n < test.atLeast || n > test.atMost {
				t.Errorf("%d bytes, want %d to %d", n, test.atLeast, test.atMost)
			}
		})
	}
}

// A burst leaves a large buffer, and a few small frames behind it a small one.
func TestABufferShrinksWhenReadsAreSmall(t *testing.T) {
	small := appendPing(nil, 0, make([]byte, 8))
	in := bytes.Repeat(small, 10_000)
	n := 0
	r := newFrameReader(&cutReader{in, func() int {
		if n++; n < 7 {
			return 1 << 20
		}
		return len(small)
	}})
	most := 0
	for {
		if _, err := r.next(); err != nil {
			break
		}
		most = max(most, len(r.buf))
	}
	if most != maxReadBuffer || len(r.buf) != minReadBuffer {
		t.Errorf("%d bytes, and then %d", most, len(r.buf))
	}
}

// A frame that is too large is refused before its payload comes.
func TestLargeFrameIsRefused(t *testing.T) {
	for _, size := range []int{maxFrame + 1, 1<<24 - 1} {
		r := newFrameReader(bytes.NewReader(appendFrame(nil, http2.FrameData, 0, 1, size)))
		_, err := r.next()
		if wrong := (goAway{}); !errors.As(err, &wrong) || wrong.code != http2.ErrCodeFrameSize || len(r.buf) != minReadBuffer {
			t.Errorf("%d bytes: %v, with a buffer of %d", size, err, len(r.buf))
		}
	}
}

func TestFrameThatIsCutShortIsAnError(t *testing.T) {
	whole := appendPing(nil, 0, make([]byte, 8))
	for n := range len(whole) {
		r := newFrameReader(bytes.NewReader(whole[:n]))
		if f, err := r.next(); err != io.EOF {
			t.Errorf("%d bytes: %v, %v", n, f, err)
		}
	}
}
