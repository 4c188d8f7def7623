package kv_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"balsa.example/kv"

	"pgregory.net/rapid"
)

// moment is an image in use, and what was there when it was taken.
type moment struct {
	image io.WriterTo
	want  []byte
	ops   int // that came before
}

func (m moment) check(t *rapid.T) {
	var b bytes.Buffer
	if _, err := m.image.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), m.want) {
		t.Fatalf("the image changed from\n%q\nto\n%q", m.want, b.Bytes())
	}
}

// written is the state's snapshot, from another store that the state was copied to.
func written(t *rapid.T, ops []kv.Op) []byte {
	s := kv.NewStore()
	for _, op := range ops {
		s.DoOp(op)
	}
	image, _ := s.Snapshot()
	var b bytes.Buffer
	if _, err := image.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestImagesStayAsTheyWere takes, reads and closes images in any order while operations
// go on.
func TestImagesStayAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := kv.NewStore()
		var ops []kv.Op
		var moments []moment
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1:
				image, _ := s.Snapshot()
				moments = append(moments, moment{image, written(t, ops), len(ops)})
			case 2:
				if n := len(moments); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "image")
					moments[i].check(t)
				}
			case 3:
				if n := len(moments); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "image")
					moments[i].check(t)
					moments[i].image.(io.Closer).Close()
					moments = append(moments[:i:i], moments[i+1:]...)
				}
			default:
				op := drawOp(t, "a", "b", "c", "ab", "\x00")
				op.Unconditional = rapid.IntRange(0, 3).Draw(t, "unconditional") > 0
				s.DoOp(op)
				ops = append(ops, op)
			}
			replaced := 0 // what the oldest image may have to show
			if len(moments) > 0 {
				replaced = len(ops) - moments[0].ops
			}
			if retained := kv.Retained(s); retained > replaced {
				t.Fatalf("%d records are retained, and at most %d were replaced", retained, replaced)
			}
		}
		for _, m := range moments {
			m.check(t)
		}
	})
}

// A train of images, each taken before the one before is closed, never ends.
func TestOverlappingImagesKeepNoMoreThanTheyShow(t *testing.T) {
	s := kv.NewStore()
	s.DoOp(put("stays", "", 0))
	var last io.WriterTo
	for i := range 1000 {
		passing := fmt.Sprint("passes ", i)
		s.DoOp(put(passing, "", 0))
		s.DoOp(anyVersion(put("stays", strings.Repeat("v", i), 0)))
		image, _ := s.Snapshot()
		if last != nil {
			last.(io.Closer).Close()
		}
		last = image
		s.DoOp(anyVersion(del(passing, 0)))
		if retained := kv.Retained(s); retained > 2 {
			t.Fatalf("after %d rounds that replaced 2 records each %d are retained for 1 image", i+1, retained)
		}
	}
}

func TestAClosedImageIsNotWritten(t *testing.T) {
	image, _ := filled(9).Snapshot()
	for range 2 {
		if err := image.(io.Closer).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := image.WriteTo(io.Discard); n != 0 || err == nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
}

// An image of a state that Restore has replaced goes on to show it.
func TestAnImageOutlivesItsState(t *testing.T) {
	s := filled(50)
	want := snapshot(t, s)
	image, _ := s.Snapshot()
	s.DoOp(anyVersion(put("key 1", "later", 0)))
	if err := s.Restore(bytes.NewReader(snapshot(t, filled(9)))); err != nil {
		t.Fatal(err)
	}
	s.DoOp(anyVersion(put("key 2", "later", 0)))
	var b bytes.Buffer
	if _, err := image.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the image shows something else, or %v", err)
	}
	image.(io.Closer).Close()
	if retained := kv.Retained(s); retained != 0 {
		t.Errorf("%d records are retained for no image", retained)
	}
}
