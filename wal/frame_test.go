package wal

import (
	"errors"
	"slices"
	"testing"
)

// image returns a segment's image with three frames, the last one with the given
// payload, and where that one begins.
func image(s stamp, payload []byte) (img []byte, last int) {
	img = make([]byte, headerSize)
	img[0] = 1
	for i, p := range [][]byte{[]byte("one"), make([]byte, 300), payload} {
		last = len(img)
		img = append(img, s.finish(append(make([]byte, frameHeaderSize), p...), uint64(i+1))...)
	}
	return img, last
}

// A crash may keep any sectors of the last write. Whatever it keeps is recognised,
// also when the payload itself is all zeros.
func TestAnyTornWriteIsRecognised(t *testing.T) {
	random := seeded(1)
	for range 3000 {
		s := newStamp(random.Uint64()|0x0101010101010101, random.Uint64())
		payload := make([]byte, random.IntN(3000))
		if random.IntN(2) == 0 {
			for i := range payload {
				payload[i] = byte(random.Uint32())
			}
		}
		img, off := image(s, payload)
		whole := slices.Clone(img)
		if random.IntN(2) == 0 { // zero-filled ahead of time
			img = append(img, make([]byte, random.IntN(2000))...)
		}
		dropped, kept := false, false
		for sector := off / sectorSize * sectorSize; sector < len(whole); sector += sectorSize {
			if random.IntN(3) == 0 {
				clear(img[max(sector, off):min(sector+sectorSize, len(whole))])
				dropped = true
			} else {
				kept = true
			}
		}
		_, err := s.read(img, off)
		switch {
		case !dropped && err != nil:
			t.Fatalf("whole frame: %v", err)
		case dropped && kept && err != errTorn:
			t.Fatalf("torn frame: %v", err)
		case !kept && err != errEnd:
			t.Fatalf("frame of which nothing is left: %v", err)
		}
		if cut := off + 1 + random.IntN(len(whole)-off-1); allZero(whole[off:cut]) {
			t.Fatal("a frame cannot begin with zeros")
		} else if _, err := s.read(whole[:cut], off); err != errTorn {
			t.Fatalf("frame cut off by the end of the file: %v", err)
		}
	}
}

// A changed bit in a frame that was written in full is no torn write, though the
// frame be the last one and its payload zeros.
func TestAnyFlippedBitIsDamage(t *testing.T) {
	s := newStamp(0xa5a5a5a5a5a5a5a5, 7)
	img, off := image(s, make([]byte, 700))
	end := len(img)
	img = append(img, make([]byte, 512)...)
	for bit := off * 8; bit < end*8; bit++ {
		img[bit/8] ^= 1 << (bit % 8)
		var d damage
		if _, err := s.read(img, off); !errors.As(err, &d) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		img[bit/8] ^= 1 << (bit % 8)
	}
}

// Bytes of one segment are not frames in another, even if a client stores them.
func TestFrameOfAnotherSegmentIsNoFrame(t *testing.T) {
	a, b := newStamp(0xa5a5a5a5a5a5a5a5, 7), newStamp(0xa5a5a5a5a5a5a5a5, 8)
	img, off := image(a, []byte("x"))
	if _, err := b.read(img, off); err == nil {
		t.Fatal("accepted")
	}
	inner := img[off:]
	img, off = image(a, append(make([]byte, 5), inner...)) // embedded in a payload, any alignment
	clear(img[off : off+frameHeaderSize])
	for o := off + wordSize; o+frameHeaderSize <= len(img); o++ {
		if _, ok := a.readHeader(img[o:]); ok {
			t.Fatalf("a payload is taken for a frame at %d", o)
		}
	}
}

func TestMaskIsItsOwnInverse(t *testing.T) {
	s := newStamp(0x0123456789abcdef, 1)
	for n := 0; n <= 8*70; n += wordSize {
		src := make([]byte, n)
		for i := range src {
			src[i] = byte(i)
		}
		masked, back := make([]byte, n), make([]byte, n)
		s.mask(masked, src)
		s.mask(back, masked)
		if !slices.Equal(src, back) || n > 0 && slices.Equal(src, masked) {
			t.Fatalf("%d bytes", n)
		}
	}
}
