package kv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"balsa.example/kv"

	"github.com/cespare/xxhash/v2"
)

func snapshot(t testing.TB, s *kv.Store) []byte {
	t.Helper()
	image, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := image.WriteTo(&b)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Fatalf("WriteTo says %d bytes and wrote %d", n, b.Len())
	}
	return b.Bytes()
}

func restore(t testing.TB, data []byte) *kv.Store {
	t.Helper()
	s := kv.NewStore()
	if err := s.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return s
}

// checkSame fails unless both stores say the same of everything that they tell.
func checkSame(t testing.TB, got, want *kv.Store) {
	t.Helper()
	if got.Revision() != want.Revision() || got.Len() != want.Len() || got.Bytes() != want.Bytes() || got.Hash() != want.Hash() {
		t.Errorf("revision %d, %d keys, %d bytes, hash %x; want revision %d, %d keys, %d bytes, hash %x",
			got.Revision(), got.Len(), got.Bytes(), got.Hash(), want.Revision(), want.Len(), want.Bytes(), want.Hash())
	}
	for e := range want.Ascend("", "") {
		if g, w := got.Get(e.Key), want.Get(e.Key); !equal(g, w) {
			t.Errorf("key %q holds %+v, want %+v", e.Key, g, w)
		}
	}
}

func filled(keys int) *kv.Store {
	s := kv.NewStore()
	for i := range keys {
		s.DoOp(anyVersion(put(fmt.Sprintf("key %d", i%(keys-keys/4)), strings.Repeat("v", i), 0)))
	}
	s.DoOp(put("empty value", "", 0))
	for i := range keys / 9 {
		s.DoOp(anyVersion(del(fmt.Sprintf("key %d", i+1), 0)))
	}
	return s
}

func TestSnapshotRestoresEverything(t *testing.T) {
	large := filled(300)
	large.DoOp(put("large", strings.Repeat("0123456789", 100_000), 0)) // over all buffers
	for name, s := range map[string]*kv.Store{"empty": kv.NewStore(), "small": filled(9), "large": large} {
		t.Run(name, func(t *testing.T) {
			data := snapshot(t, s)
			back := restore(t, data)
			checkSame(t, back, s)
			if !bytes.Equal(snapshot(t, back), data) {
				t.Error("the restored state has another snapshot")
			}
			for _, op := range []kv.Op{since(put("key 1", "deleted", 0), 2), put("and on", "v", 0)} {
				if got, want := back.DoOp(op), s.DoOp(op); !equal(got, want) {
					t.Errorf("the next operation gives %+v, want %+v", got, want)
				}
			}
		})
	}
}

func TestSnapshotReplacesWhatWasThere(t *testing.T) {
	s := filled(20)
	if err := s.Restore(bytes.NewReader(snapshot(t, kv.NewStore()))); err != nil {
		t.Fatal(err)
	}
	checkSame(t, s, kv.NewStore())
}

func TestSnapshotIsOfItsMoment(t *testing.T) {
	s := filled(50)
	before := snapshot(t, s)
	image, _ := s.Snapshot()
	for i := range 100 {
		s.DoOp(anyVersion(put(fmt.Sprintf("key %d", i), "later", 0)))
		s.DoOp(anyVersion(del(fmt.Sprintf("key %d", 2*i), 0)))
	}
	for range 2 {
		var b bytes.Buffer
		if _, err := image.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), before) {
			t.Fatal("later operations show in the image")
		}
	}
}

func TestSnapshotOfOneKeyPutOftenStaysSmall(t *testing.T) {
	s := kv.NewStore()
	for i := range uint64(800) {
		if err := s.DoOp(put("k", fmt.Sprint(i), i)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(snapshot(t, s)); n > 500 {
		t.Errorf("snapshot has %d bytes, the scenario allows 500", n)
	}
}

// resealed returns data with the footer that its bytes ask for.
func resealed(data []byte) []byte {
	body := data[:len(data)-8]
	return binary.LittleEndian.AppendUint64(bytes.Clone(body), xxhash.Sum64(body))
}

func TestRestoreFailureChangesNothing(t *testing.T) {
	good := snapshot(t, filled(9))
	edited := func(at int, b byte) []byte {
		data := bytes.Clone(good)
		data[at] = b
		return data
	}
	broken := errors.New("disk on fire")
	tests := []struct {
		name string
		r    io.Reader
		want error
		text string
	}{
		{"an empty stream", strings.NewReader(""), kv.ErrBadSnapshot, "truncated"},
		{"another kind of file", strings.NewReader("#!/bin/sh\necho hello\n"), kv.ErrBadSnapshot, "does not begin like one"},
		{"a newer format", bytes.NewReader(resealed(edited(7, 2))), kv.ErrNewerSnapshot, "format 2, this program reads up to 1"},
		{"format 0", bytes.NewReader(resealed(edited(7, 0))), kv.ErrBadSnapshot, "format 0"},
		{"revision 0", bytes.NewReader(resealed(edited(8, 0))), kv.ErrBadSnapshot, "revision 0"},
		{"a key missing from the count", bytes.NewReader(resealed(edited(9, good[9]-1))), kv.ErrBadSnapshot, "checksum"},
		{"a key too many in the count", bytes.NewReader(resealed(edited(9, good[9]+1))), kv.ErrBadSnapshot, ""},
		{"a hash of another state", bytes.NewReader(resealed(edited(10, ^good[10]))), kv.ErrBadSnapshot, "do not add up"},
		{"a wrong checksum", bytes.NewReader(edited(len(good)-1, ^good[len(good)-1])), kv.ErrBadSnapshot, "checksum"},
		{"trailing data", io.MultiReader(bytes.NewReader(good), strings.NewReader("x")), kv.ErrBadSnapshot, "after its end"},
		{"an error of the stream", io.MultiReader(bytes.NewReader(good[:40]), iotest.ErrReader(broken)), broken, ""},
		{"an error behind the end", io.MultiReader(bytes.NewReader(good), iotest.ErrReader(broken)), broken, ""},
		{"a length that lies", bytes.NewReader(append(append(bytes.Clone(good[:18]), 0), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)), kv.ErrBadSnapshot, "truncated"},
		{"a count of marks that lies", bytes.NewReader(append(bytes.Clone(good[:18]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)), kv.ErrBadSnapshot, "truncated"},
		{"a length over 64 bits", bytes.NewReader(append(bytes.Clone(good[:18]), bytes.Repeat([]byte{0xff}, 10)...)), kv.ErrBadSnapshot, "64 bits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := filled(20)
			err := s.Restore(tt.r)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
			checkSame(t, s, filled(20))
		})
	}
}

func TestRestoreRefusesEveryTruncationAndEveryFlippedByte(t *testing.T) {
	good := snapshot(t, filled(9))
	s := kv.NewStore()
	for i := range good {
		if err := s.Restore(bytes.NewReader(good[:i])); !errors.Is(err, kv.ErrBadSnapshot) {
			t.Errorf("cut to %d of %d bytes: %v", i, len(good), err)
		}
		bad := bytes.Clone(good)
		bad[i] ^= 0x55
		if err := s.Restore(bytes.NewReader(bad)); err == nil {
			t.Errorf("byte %d flipped: restored", i)
		}
	}
	checkSame(t, s, kv.NewStore())
}

// entry is the bytes of one key in a snapshot.
func entry(key string, create, changes, version uint64, value string) (b []byte) {
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	for _, v := range []uint64{create, changes, version, uint64(len(value))} {
		b = binary.AppendUvarint(b, v)
	}
	return append(b, value...)
}

func TestRestoreRefusesStatesThatCannotBe(t *testing.T) {
	tests := []struct {
		name    string
		entries [][]byte
	}{
		{"keys out of order", [][]byte{entry("b", 2, 0, 1, ""), entry("a", 3, 0, 1, "")}},
		{"a key twice", [][]byte{entry("a", 2, 0, 1, ""), entry("a", 3, 0, 1, "")}},
		{"an empty key", [][]byte{entry("", 2, 0, 1, "")}},
		{"version 0", [][]byte{entry("a", 2, 0, 0, "")}},
		{"more versions than revisions", [][]byte{entry("a", 2, 1, 3, "")}},
		{"created before the store", [][]byte{entry("a", 1, 0, 1, "")}},
		{"created after the store's revision", [][]byte{entry("a", 10, 0, 1, "")}},
		{"changed after the store's revision", [][]byte{entry("a", 2, 8, 2, "")}},
		{"changed so late that it overflows", [][]byte{entry("a", 2, 1<<64-1, 1, "")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := append([]byte("balsakv\x01"), 9, byte(len(tt.entries)))
			data = append(data, make([]byte, 8+1)...)
			for _, e := range tt.entries {
				data = append(data, e...)
			}
			err := kv.NewStore().Restore(bytes.NewReader(resealed(append(data, make([]byte, 8)...))))
			if !errors.Is(err, kv.ErrBadSnapshot) || !strings.Contains(err.Error(), "key") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRestoreRefusesTombsThatCannotBe(t *testing.T) {
	tests := []struct {
		name  string
		marks []uint64 // number, revision, number, ...
	}{
		{"out of order", []uint64{5, 3, 4, 4}},
		{"one twice", []uint64{5, 3, 5, 4}},
		{"one too many", []uint64{2048, 3}},
		{"of a resend before the store was", []uint64{1024, 0}},
		{"of a delete before any key was", []uint64{5, 2}},
		{"of a delete after the store's revision", []uint64{5, 10}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := append([]byte("balsakv\x01"), 9, 0)
			data = append(data, make([]byte, 8)...)
			data = append(data, byte(len(tt.marks)/2))
			for _, v := range tt.marks {
				data = binary.AppendUvarint(data, v)
			}
			err := kv.NewStore().Restore(bytes.NewReader(resealed(append(data, make([]byte, 8)...))))
			if !errors.Is(err, kv.ErrBadSnapshot) || !strings.Contains(err.Error(), "mark") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWriteToReportsAFailingWriter(t *testing.T) {
	full := errors.New("disk full")
	image, _ := filled(20).Snapshot()
	for limit := range int64(100) {
		w := &fullWriter{left: limit, err: full}
		if n, err := image.WriteTo(w); !errors.Is(err, full) || n > limit {
			t.Fatalf("room for %d bytes: wrote %d, %v", limit, n, err)
		}
	}
}

type fullWriter struct {
	left int64
	err  error
}

func (w *fullWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, w.err
	}
	w.left -= int64(len(p))
	return len(p), nil
}

func FuzzRestore(f *testing.F) {
	f.Add(snapshot(f, kv.NewStore()))
	f.Add(snapshot(f, filled(3)))
	f.Add([]byte("balsakv\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := kv.NewStore()
		// The fuzzer cannot be expected to find checksums, so both are tried.
		for range 2 {
			if err := s.Restore(bytes.NewReader(data)); err == nil {
				checkSame(t, restore(t, snapshot(t, s)), s)
			} else {
				checkSame(t, s, kv.NewStore())
			}
			if len(data) < 8 {
				return
			}
			data = resealed(data)
		}
	})
}

func TestCorruptedMemoryGetsIntoNoSnapshot(t *testing.T) {
	s := filled(20)
	s.Get("key 7").Value[0] ^= 1 // which is not allowed
	image, _ := s.Snapshot()
	if _, err := image.WriteTo(io.Discard); !errors.Is(err, kv.ErrMemory) {
		t.Errorf("got %v, want %v", err, kv.ErrMemory)
	}
}
